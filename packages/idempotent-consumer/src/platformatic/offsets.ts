import type { PartitionPosition } from '../source.ts';
import type { PlatformaticConsumer } from './client.ts';
import type { Place } from './membership.ts';

/** Where a group begins that has committed nothing: at the first record, behind the last, or at a time. */
export type Begin = 'earliest' | 'latest' | { readonly timestampMs: number };

const latest = -1n;
const earliest = -2n;

const queryOf = ({ topic, partition }: Place, timestamp: bigint) => ({
  topics: [topic],
  partitions: { [topic]: [partition] },
  timestamp,
});

/** The offset of a partition's first record, or the one behind its last. */
export async function edgeOf(
  consumer: PlatformaticConsumer,
  place: Place,
  edge: 'earliest' | 'latest',
): Promise<bigint> {
  const offsets = await consumer.listOffsets(queryOf(place, edge === 'earliest' ? earliest : latest));
  return known(offsets.get(place.topic)?.[place.partition], place);
}

/** What the group has committed, or undefined. */
export async function committedOf(
  consumer: PlatformaticConsumer,
  { topic, partition }: Place,
): Promise<bigint | undefined> {
  const offsets = await consumer.listCommittedOffsets({ topics: [{ topic, partitions: [partition] }] });
  const offset = known(offsets.get(topic)?.[partition], { topic, partition });
  return offset < 0n ? undefined : offset;
}

/** Where a new group begins in this partition. */
export async function beginOf(consumer: PlatformaticConsumer, place: Place, begin: Begin): Promise<bigint> {
  if (begin === 'earliest' || begin === 'latest') return edgeOf(consumer, place, begin);
  const found = await consumer.listOffsetsWithTimestamps(queryOf(place, BigInt(begin.timestampMs)));
  const offset = known(found.get(place.topic)?.get(place.partition)?.offset, place);
  return offset < 0n ? edgeOf(consumer, place, 'latest') : offset;
}

/** The positions of these partitions. */
export async function positionsOf(
  consumer: PlatformaticConsumer,
  places: readonly Place[],
): Promise<PartitionPosition[]> {
  const byTopic = Map.groupBy(places, ({ topic }) => topic);
  const topics = [...byTopic].map(([topic, own]) => ({
    topic,
    partitions: own.map(({ partition }) => partition),
  }));
  if (topics.length === 0) return [];
  const partitions = Object.fromEntries(topics.map((one) => [one.topic, one.partitions]));
  const [committed, ends] = await Promise.all([
    consumer.listCommittedOffsets({ topics }),
    consumer.listOffsets({ topics: [...byTopic.keys()], partitions, timestamp: latest }),
  ]);
  return places.map(({ topic, partition }) => {
    const offset = known(committed.get(topic)?.[partition], { topic, partition });
    const end = known(ends.get(topic)?.[partition], { topic, partition });
    return { topic, partition, committed: offset < 0n ? null : String(offset), end: String(end) };
  });
}

function known(offset: bigint | undefined, { topic, partition }: Place): bigint {
  if (offset === undefined) throw new Error(`the broker told no offset of ${topic}, partition ${partition}`);
  return offset;
}
