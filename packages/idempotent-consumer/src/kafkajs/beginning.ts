import type { RecordSink } from '../source.ts';
import type { OffsetsRequest, OriginalCluster, TopicOffsets } from './cluster-tap.ts';
import type { Settings } from './options.ts';

/** Commits offsets in the name of this member. */
export type CommitBeginning = (topics: readonly TopicOffsets[]) => Promise<unknown>;

/**
 * Where a group begins that has committed nothing. Other places than the earliest are committed at once, for the whole
 * topic: else a member that restarts before its first commit would begin at a later one, and what lies between would be
 * lost. So a partition without an offset beside others that have one was added later, and is read from its first record.
 */
export async function findBeginnings(
  request: readonly OffsetsRequest[],
  cluster: OriginalCluster,
  { sink, settings, commit }: { sink: RecordSink; settings: Settings; commit: CommitBeginning },
): Promise<TopicOffsets[]> {
  const { begin, groupId } = settings;
  const found: TopicOffsets[] = [];
  for (const { topic, partitions } of request.filter((one) => one.partitions.length > 0)) {
    const committed = begin === 'earliest' ? [] : await committedIn(topic, groupId, cluster);
    const at = (place: Settings['begin'], wanted: OffsetsRequest['partitions']) =>
      offsetsAt(place, [{ topic, partitions: wanted }], cluster);
    let beginnings: readonly TopicOffsets[];
    if (begin === 'earliest' || committed.length > 0) beginnings = await at('earliest', partitions);
    else {
      beginnings = await at(begin, partitionsOf(topic, cluster));
      await commit(beginnings);
    }
    // Another member may have committed them meanwhile.
    const offsets = [...committed, ...beginnings.flatMap((one) => one.partitions)];
    const own = partitions.flatMap(
      ({ partition }) => offsets.find((one) => one.partition === partition) ?? [],
    );
    sink.logger.info(
      { groupId, topic, begin, partitions: own },
      'the group has no offsets in these partitions yet and begins',
    );
    found.push({ topic, partitions: own });
  }
  return found;
}

const partitionsOf = (topic: string, cluster: OriginalCluster) =>
  cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ partition: partitionId }));

async function committedIn(
  topic: string,
  groupId: string,
  cluster: OriginalCluster,
): Promise<TopicOffsets['partitions']> {
  const coordinator = await cluster.findGroupCoordinator({ groupId });
  const topics = [{ topic, partitions: partitionsOf(topic, cluster) }];
  const { responses } = await coordinator.offsetFetch({ groupId, topics });
  return responses.flatMap(({ partitions }) => partitions).filter(({ offset }) => Number(offset) >= 0);
}

/** The offset after the last record stands for a time that has not come yet. */
async function offsetsAt(
  begin: Settings['begin'],
  request: readonly OffsetsRequest[],
  cluster: OriginalCluster,
): Promise<TopicOffsets[]> {
  const at = (place: object) =>
    cluster.fetchTopicsOffset(request.map(({ topic, partitions }) => ({ topic, partitions, ...place })));
  if (request.length === 0) return [];
  if (typeof begin === 'string') return at({ fromBeginning: begin === 'earliest' });
  const [found, ends] = [await at({ fromTimestamp: begin.timestampMs }), await at({ fromBeginning: false })];
  const endOf = (topic: string, partition: number) =>
    ends.find((one) => one.topic === topic)?.partitions.find((one) => one.partition === partition)?.offset;
  return found.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map(({ partition, offset }) => ({
      partition,
      offset: Number(offset) < 0 ? (endOf(topic, partition) ?? offset) : offset,
    })),
  }));
}

/** The group's offset is not on the topic, and the source was told to stop then. */
export class OffsetOutOfRangeError extends Error {
  readonly code = 'OFFSET_OUT_OF_RANGE';

  constructor(place: string) {
    super(`the group's offset is out of range: ${place}`);
    this.name = 'OffsetOutOfRangeError';
  }
}

/** Where the group goes on in a partition where its offset is out of range; throws {@link OffsetOutOfRangeError}. */
export async function findAnew(
  place: { readonly topic: string; readonly partition: number; readonly offset: string },
  cluster: OriginalCluster,
  { sink, settings, commit }: { sink: RecordSink; settings: Settings; commit: CommitBeginning },
): Promise<string> {
  const { groupId, offsetOutOfRange: policy } = settings;
  const { topic, partition, offset: from } = place;
  const first = policy !== 'latest';
  const request = [{ topic, partitions: [{ partition }], fromBeginning: first }];
  const [found] = await cluster.fetchTopicsOffset(request);
  const to = found?.partitions.find((one) => one.partition === partition)?.offset;
  if (to === undefined) throw new Error(`no offsets of ${topic} ${partition}`);
  sink.count('offsetResets');
  const fields = { groupId, topic, partition, from, to, policy, code: 'OFFSET_OUT_OF_RANGE' };
  if (policy === 'stop') {
    sink.logger.error(
      fields,
      'the offset is out of range, the source has stopped: `to` is the first record there is; set the offset, then start again',
    );
    throw new OffsetOutOfRangeError(`${topic} ${partition} at ${from}`);
  }
  sink.logger.error(
    fields,
    'the offset was out of range and has been set anew: records between were deleted unread, or the topic was made anew',
  );
  await commit([{ topic, partitions: [{ partition, offset: to }] }]);
  return to;
}
