import { setTimeout as sleep } from 'node:timers/promises';
import type { EachBatchPayload } from 'kafkajs';
import { chunksOf, type Records } from '../chunks.ts';
import { detached } from '../detached.ts';
import type { RecordSink } from '../source.ts';
import type { Member, Membership } from './membership.ts';
import type { Settings } from './options.ts';
import { recordOf } from './records.ts';

/** The partitions that have records in hand. */
export interface Lanes {
  /** Hands a batch, fetched under `member`, to the sink chunk by chunk; resolves at its end or after `holdMs`. */
  handle(payload: EachBatchPayload, member: Member): Promise<void>;
  isBusy(topic: string, partition: number): boolean;
  /** Whether any partition is busy. */
  anyBusy(): boolean;
  /** How often a partition has got busy or free. A fetch during which that changed may bring what was handed over. */
  changes(topic: string, partition: number): number;
  /**
   * Whether records from this offset on have been taken over already, in this generation: kafkajs chose the offset
   * before they were, and fetches after it.
   */
  isPast(topic: string, partition: number, offset: string): boolean;
  /** The partition is to be read from another offset. */
  forget(topic: string, partition: number): void;
  /** Resolves when a partition gets free, or after `limitMs`. */
  untilFree(limitMs: number): Promise<void>;
  /** Resolves when no partition is busy, or after `limitMs`. */
  drain(limitMs: number): Promise<void>;
  /** What a commit of a held partition threw: kafkajs learns from its own errors that it has to join again. */
  takeFailure(): { readonly error: unknown } | undefined;
  /** Whether anything was committed. */
  hasCommitted(): boolean;
}

/**
 * How long kafkajs is kept waiting for a batch. kafkajs fetches from a broker again when all batches of the last answer
 * have been handled: waiting keeps fetches large and costs no partition its turn, but a partition that waits must not
 * stop the others.
 */
const holdMs = 250;
/** Between two deliveries of a chunk that is abandoned although it is still ours. */
const abandonedPauseMs = 100;

interface LanesContext {
  readonly sink: RecordSink;
  readonly settings: Settings;
  readonly membership: Membership;
  /** Aborted when the source or this consumer of kafkajs comes to its end. */
  readonly ending: AbortSignal;
}

/** See {@link Lanes}. */
export function createLanes(context: LanesContext): Lanes {
  const busy = new Map<string, Promise<void>>();
  const changes = new Map<string, number>();
  let freed = Promise.withResolvers<void>();
  let failure: { readonly error: unknown } | undefined;
  const next = new Map<string, { readonly member: Member; readonly offset: bigint }>();
  let committed = false;
  const keyOf = (topic: string, partition: number) => `${partition} ${topic}`;
  const change = (key: string) => changes.set(key, (changes.get(key) ?? 0) + 1);

  async function handle(payload: EachBatchPayload, member: Member): Promise<void> {
    const key = keyOf(payload.batch.topic, payload.batch.partition);
    const onAccepted = (offset: bigint) => {
      const before = next.get(key);
      if (before?.member !== member || before.offset < offset) next.set(key, { member, offset });
    };
    const onCommit = (offset: bigint) => {
      committed = true;
      onAccepted(offset);
    };
    const lane = { held: false, onAccepted, onCommit };
    const end = deliver(payload, member, context, lane).finally(() => {
      busy.delete(key);
      change(key);
      freed.resolve();
      freed = Promise.withResolvers();
    });
    busy.set(
      key,
      end.catch(() => undefined),
    );
    change(key);
    await within(end, holdMs);
    lane.held = busy.has(key);
    if (lane.held) end.catch((error: unknown) => (failure = { error }));
  }

  return {
    handle,
    isBusy: (topic, partition) => busy.has(keyOf(topic, partition)),
    anyBusy: () => busy.size > 0,
    changes: (topic, partition) => changes.get(keyOf(topic, partition)) ?? 0,
    isPast: (topic, partition, offset) => {
      const one = next.get(keyOf(topic, partition));
      return one !== undefined && one.member === context.membership.current() && BigInt(offset) < one.offset;
    },
    forget: (topic, partition) => {
      next.delete(keyOf(topic, partition));
    },
    untilFree: (limitMs) => within(freed.promise, limitMs),
    drain: async (limitMs) => {
      await within(Promise.all(busy.values()), limitMs);
    },
    takeFailure: () => {
      const taken = failure;
      failure = undefined;
      return taken;
    },
    hasCommitted: () => committed,
  };
}

/** Waits for a promise, but not for longer; what it throws meanwhile is thrown. */
export async function within(promise: Promise<unknown>, limitMs: number): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([promise, sleep(limitMs, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

/** Hands over the chunks of a batch until one is abandoned or the batch is no longer ours. */
async function deliver(
  payload: EachBatchPayload,
  member: Member,
  { sink, settings, membership, ending }: LanesContext,
  lane: { held: boolean; onAccepted(next: bigint): void; onCommit(next: bigint): void },
): Promise<void> {
  const { topic, partition, messages } = payload.batch;
  const isOurs = () => membership.current() === member && !payload.isStale();
  const signal = AbortSignal.any([member.signal, ending]);
  // An answer of the usual size is kept whole, by all its partitions together: to copy each record out of it takes a
  // quarter of the consumer's CPU.
  const answerBytesMax = settings.fetchBytesMax + settings.partitionBytesMax;
  let left = messages.length;
  for (const chunk of chunksOf(recordsOf(payload.batch), settings)) {
    if (signal.aborted || !isOurs()) return;
    const records = kept(chunk, Math.max(settings.chunkBytesMax, answerBytesMax));
    left -= records.length;
    const last = (records.at(-1) ?? records[0]).offset;
    let isCommitted = false;
    const commitOffsets = async (upTo = last): Promise<boolean> => {
      if (!isOurs()) return false;
      lane.onCommit(await commit(payload, upTo));
      isCommitted ||= upTo === last;
      return true;
    };
    const outcome = await sink.onChunk({ records, signal, commitOffsets });
    if (outcome === 'abandoned') {
      if (!signal.aborted) await sleep(abandonedPauseMs, undefined, { signal }).catch(() => undefined);
      return;
    }
    // Only in kafkajs's memory: this member goes on behind a chunk, also where nothing was committed.
    if (!isCommitted && isOurs()) {
      payload.resolveOffset(last);
      lane.onAccepted(BigInt(last) + 1n);
    }
    // A partition that is held keeps no more than a chunk in memory: the rest is fetched again.
    if (lane.held && left > 0 && !isSmall(messages.slice(-left), settings.chunkBytesMax)) return;
  }

  function* recordsOf(batch: EachBatchPayload['batch']) {
    for (const message of batch.messages) {
      yield recordOf(topic, partition, message);
      // kafkajs holds on to the batch until it is at its end.
      message.key = null;
      message.value = null;
      message.headers = {};
    }
  }
}

/** Moves the group's offset behind a record; returns the one it has then. */
async function commit(payload: EachBatchPayload, offset: string): Promise<bigint> {
  const { topic, partition } = payload.batch;
  payload.resolveOffset(offset);
  // Not offset + 1: kafkajs also steps over the control records behind a batch. Its partitions here are texts.
  const { topics } = payload.uncommittedOffsets();
  const partitions = topics.find((one) => one.topic === topic)?.partitions ?? [];
  const own = partitions.filter((one) => Number(one.partition) === partition);
  if (own.length > 0) await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: own }] });
  return BigInt(own[0]?.offset ?? BigInt(offset) + 1n);
}

function kept(chunk: Records, bytesMax: number): Records {
  const [first, ...rest] = chunk;
  return [detached(first, bytesMax), ...rest.map((record) => detached(record, bytesMax))];
}

function isSmall(messages: readonly { value: Uint8Array | null }[], bytesMax: number): boolean {
  let bytes = 0;
  for (const { value } of messages) bytes += value?.byteLength ?? 0;
  return bytes <= bytesMax;
}
