import type { RecordSink } from '../source.ts';
import type { Unreadable } from './decoding.ts';

/** The partitions that stand before a batch that cannot be read. */
export interface Standing {
  /** Whether it is to be left out for now. */
  has(topic: string, partition: number): boolean;
  /** Whether it is to be fetched by itself, to see what it is that cannot be read or to try it again. */
  isSuspect(topic: string, partition: number): boolean;
  /** Something could not be read, and this may be the partition. */
  suspect(topic: string, partition: number): void;
  /** It was fetched by itself, and could not be read. */
  stand(topic: string, partition: number, offset: string, unreadable: Unreadable): void;
  /** It was fetched, and could be read. */
  clear(topic: string, partition: number): void;
}

/** It is tried again, since an operator may have mended it: after a second, then ever less often. */
const retry = { baseMs: 1_000, maxMs: 300_000 };

interface Stand {
  readonly offset: string;
  readonly attempts: number;
  readonly untilMs: number;
}

/** See {@link Standing}. Lives as long as the source, so that its delays grow over what kafkajs survives. */
export function createStanding(
  sink: RecordSink,
  { groupId, decompressedBytesMax }: { groupId: string; decompressedBytesMax: number },
): Standing {
  const stands = new Map<string, Stand>();
  const suspects = new Set<string>();
  const keyOf = (topic: string, partition: number) => `${partition} ${topic}`;

  return {
    has: (topic, partition) => {
      const stand = stands.get(keyOf(topic, partition));
      return stand !== undefined && performance.now() < stand.untilMs;
    },
    isSuspect: (topic, partition) => {
      const key = keyOf(topic, partition);
      return suspects.has(key) || stands.has(key);
    },
    suspect: (topic, partition) => {
      suspects.add(keyOf(topic, partition));
    },
    stand: (topic, partition, offset, { error, range }) => {
      const key = keyOf(topic, partition);
      const before = stands.get(key);
      const isNew = before?.offset !== offset;
      const attempts = isNew ? 1 : before.attempts + 1;
      const retryInMs = Math.min(retry.maxMs, retry.baseMs * 2 ** Math.min(attempts - 1, 20));
      suspects.delete(key);
      stands.set(key, { offset, attempts, untilMs: performance.now() + retryInMs });
      if (isNew) sink.count('unreadableBatches');
      const behind = range === undefined ? undefined : String(BigInt(range.last) + 1n);
      const fields = { groupId, topic, partition, offset, batch: range, attempts, retryInMs, err: error };
      sink.logger.error(fields, adviceFor(error, decompressedBytesMax, behind));
    },
    clear: (topic, partition) => {
      suspects.delete(keyOf(topic, partition));
      stands.delete(keyOf(topic, partition));
    },
  };
}

function adviceFor(error: unknown, bytesMax: number, behind: string | undefined): string {
  const name = (error as Error | undefined)?.name;
  const skip = `, or set the group's offset to ${behind ?? 'the one behind it'} to skip it`;
  const what = 'the partition stands before a batch that cannot be read, the others go on';
  if (name === 'TooLarge') {
    return `${what}: raise decompressedBytesMax, which is ${bytesMax}, where memory allows it${skip}`;
  }
  if (name === 'KafkaJSNotImplemented') {
    return `${what}: kafkajs has no codec for its compression; leave registerCodecs on, with Node 22.15 or later for zstd, or register one`;
  }
  return `${what}: it may be damaged, or larger than kafkajs can decode; mend it on the brokers${skip}`;
}
