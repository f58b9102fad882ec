import { randomBytes } from 'node:crypto';
import type { Logger } from '../logger.ts';
import type { ConsumedRecord } from '../record.ts';
import type { ChunkOutcome, RecordChunk, RecordSink, RecordSource } from '../source.ts';
import type { ProducedRecord, RecordSourceUnderTest, SourceOptionsUnderTest } from './source-under-test.ts';

export type Vitest = typeof import('vitest');
/** Tests by their names. */
export type ContractTests = Record<string, (vitest: Vitest, broker: RecordSourceUnderTest) => Promise<void>>;

/** Polling that a busy machine does not break. */
export const soon = { timeout: 30_000, interval: 20 };

export const uniqueGroup = (): string => `contract-${randomBytes(5).toString('hex')}`;

/** A member of a group with what it was given. */
export interface TestMember {
  readonly source: RecordSource;
  /** Everything delivered, in the order of delivery. */
  readonly seen: ConsumedRecord[];
  readonly chunks: RecordChunk[];
  readonly errors: Record<string, unknown>[];
  readonly counts: string[];
  /** The offsets that were delivered of a partition, in the order of delivery. */
  offsets(partition: number): number[];
}

/** Commits each chunk. */
export async function acceptAll(chunk: RecordChunk): Promise<ChunkOutcome> {
  return (await chunk.commitOffsets()) ? 'accepted' : 'abandoned';
}

/** Runs a test with members that are stopped at its end, whatever comes of it. */
export async function withMembers<R>(
  broker: RecordSourceUnderTest,
  test: (
    startMember: (options: SourceOptionsUnderTest, onChunk?: RecordSink['onChunk']) => TestMember,
  ) => Promise<R>,
): Promise<R> {
  const members: TestMember[] = [];
  try {
    return await test((options, onChunk = acceptAll) => {
      const member = memberOf(broker.createSource(options), onChunk);
      members.push(member);
      return member;
    });
  } finally {
    await Promise.all(members.map(({ source }) => source.stop()));
  }
}

function memberOf(source: RecordSource, onChunk: RecordSink['onChunk']): TestMember {
  const seen: ConsumedRecord[] = [];
  const chunks: RecordChunk[] = [];
  const errors: Record<string, unknown>[] = [];
  const counts: string[] = [];
  const ignore = () => undefined;
  const logger: Logger = {
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (fields) => errors.push({ ...fields }),
  };
  source.start({
    logger,
    count: (what) => counts.push(what),
    onChunk: (chunk) => {
      chunks.push(chunk);
      seen.push(...chunk.records);
      return onChunk(chunk);
    },
  });
  const offsets = (partition: number) =>
    seen.filter((one) => one.partition === partition).map((one) => Number(one.offset));
  return { source, seen, chunks, errors, counts, offsets };
}

/** `count` records for a partition, numbered. */
export const numbered = (partition: number, count: number, from = 0): ProducedRecord[] =>
  Array.from({ length: count }, (_, i) => ({ partition, value: Buffer.from(String(from + i)) }));

/** 0, 1, … */
export const upTo = (end: number, from = 0): number[] =>
  Array.from({ length: end - from }, (_, i) => from + i);

/** A gate that chunks wait at until it is opened. */
export function createGate(): { readonly passed: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}
