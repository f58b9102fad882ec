import type { Histogram } from '../metrics.ts';
import type { ConsumedRecord } from '../record.ts';
import type { ChunkOutcome, RecordChunk } from '../source.ts';
import { type ConsumerTransaction, runIn } from '../transaction.ts';
import { acceptAsDead, acceptChunk, type OnAccepted } from './accept.ts';
import type { Acceptance, AcceptDeps } from './accepting-transaction.ts';
import {
  beginAlone,
  beginChunk,
  type ChunkPlace,
  createStartsToNote,
  type StartsToNote,
} from './chunk-starts.ts';
import { createPatience, entryOf, type Patience, type PatienceDeps } from './patience.ts';
import { createRecentIds } from './recent-ids.ts';
import type { Company } from './slots.ts';
import type { SortedRecords } from './sort-records.ts';

/** What taking chunks in needs. */
export interface IntakeDeps<E, Tx extends ConsumerTransaction>
  extends AcceptDeps<E, Tx>,
    PatienceDeps<E, Tx> {
  readonly killSwitch: AcceptDeps<E, Tx>['killSwitch'];
  readonly company: Company;
  readonly acceptSeconds: Histogram | undefined;
  readonly onAccepted: OnAccepted;
  /** Something of a chunk was accepted. */
  readonly onProgress: (chunk: RecordChunk) => void;
  readonly onSkipped: (count: number) => void;
  readonly startsMax: number;
}

/** Enough for what is published twice in a row, as by a relay that died; about 1 MB. */
const recentIdsMax = 5_000;

/**
 * Takes over a chunk: decodes it, accepts it in the database, then commits its offsets. Tries for ever, unless the chunk
 * is no longer ours; only what is no event's fault is waited for, and nobody else waits with it.
 */
export function createIntake<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx>,
): (chunk: RecordChunk) => Promise<ChunkOutcome> {
  const { crashPoint } = deps;
  const patience = createPatience(deps);
  const recent = createRecentIds(recentIdsMax);
  const startsToNote = createStartsToNote();

  return async (chunk) => {
    const all = await patience.read(chunk, chunk.records);
    if (all === undefined) return 'abandoned';
    const sorted = { ...all, events: recent.without(all.events) };
    const isHandled = sorted.events.length + sorted.invalid.length > 0;
    if (isHandled) {
      if (!(await takeOver({ ...deps, startsToNote }, patience, chunk, sorted))) return 'abandoned';
      startsToNote.accepted(chunk);
    }
    recent.committed(sorted.events);
    deps.onSkipped(sorted.skipped);
    deps.count('duplicates', all.events.length - sorted.events.length);
    if (isHandled) crashPoint('consumer.offsets.before-commit');
    await chunk.commitOffsets();
    if (isHandled) crashPoint('consumer.offsets.after-commit');
    return 'accepted';
  };
}

/** @returns whether the chunk is taken over; else it is no longer ours */
async function takeOver<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx> & { readonly startsToNote: StartsToNote },
  patience: Patience<E>,
  chunk: RecordChunk,
  sorted: SortedRecords<E>,
): Promise<boolean> {
  const { transaction, company, crashPoint } = deps;
  const place = deps.startsToNote.has(chunk) ? placeOf(deps, chunk.records[0]) : undefined;
  let isBegun = place === undefined;
  const outcome = await patience.untilDone(chunk, place, company.beside, async () => {
    if (place !== undefined) isBegun ||= await runIn(transaction, (tx) => beginChunk(tx, place));
    if (!isBegun) return 'suspect';
    crashPoint('consumer.accept.begun');
    await timed(deps, () => acceptChunk(deps, { ...sorted, place }, acceptedOf(deps, chunk)));
    crashPoint('consumer.accept.after-commit');
    return 'accepted';
  });
  if (outcome !== 'suspect') return outcome === 'accepted';
  const entry = entryOf(deps, chunk);
  deps.logger.warn(
    entry,
    'a process died in this chunk; its events are done one at a time, with nothing beside',
  );
  return singly(deps, patience, chunk);
}

/** Each record is begun, counted and committed on its own, so that the one that ends its process is found. */
async function singly<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx>,
  patience: Patience<E>,
  chunk: RecordChunk,
): Promise<boolean> {
  for (const record of chunk.records) {
    const sorted = await patience.read(chunk, [record]);
    if (sorted === undefined) return false;
    const isHandled = sorted.events.length + sorted.invalid.length > 0;
    const acceptance = { ...sorted, place: placeOf(deps, record) };
    if (isHandled && !(await takeOverAlone(deps, patience, chunk, acceptance))) return false;
    await chunk.commitOffsets(record.offset);
  }
  return true;
}

async function takeOverAlone<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx>,
  patience: Patience<E>,
  chunk: RecordChunk,
  acceptance: Acceptance<E> & { readonly place: ChunkPlace },
): Promise<boolean> {
  const { transaction, company, startsMax, crashPoint } = deps;
  const { place } = acceptance;
  let starts = 0;
  const outcome = await patience.untilDone(chunk, place, company.alone, async () => {
    if (starts === 0) starts = await runIn(transaction, (tx) => beginAlone(tx, place));
    const onAccepted = acceptedOf(deps, chunk);
    if (starts > startsMax) await acceptAsDead(deps, acceptance, starts, onAccepted);
    else await timed(deps, () => acceptChunk(deps, acceptance, onAccepted));
    crashPoint('consumer.accept.after-commit');
    return 'accepted';
  });
  return outcome !== undefined;
}

async function timed(
  { acceptSeconds }: { readonly acceptSeconds: Histogram | undefined },
  work: () => Promise<void>,
): Promise<void> {
  const begunMs = performance.now();
  await work();
  acceptSeconds?.observe((performance.now() - begunMs) / 1000);
}

const acceptedOf =
  (deps: Pick<IntakeDeps<never, never>, 'onProgress' | 'onAccepted'>, chunk: RecordChunk): OnAccepted =>
  (accepted) => {
    deps.onProgress(chunk);
    deps.onAccepted(accepted);
  };

const placeOf = (
  { consumerName, groupId }: { readonly consumerName: string; readonly groupId: string },
  { topic, partition, offset }: ConsumedRecord,
): ChunkPlace => ({ consumerName, groupId, topic, partition, firstOffset: offset });
