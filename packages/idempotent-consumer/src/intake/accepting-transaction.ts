import {
  type DeadLetter,
  type DeadLetterSink,
  insertDeadLetters,
  type StoredDeadLetter,
  tellSink,
} from '../dead-letters/dead-letters.ts';
import { ConsumerError } from '../errors.ts';
import type { Delivery } from '../handler.ts';
import type { KillSwitch, Outcomes } from '../operation/kill-switch.ts';
import { insertReceived, takenFromOtherTopic } from '../processed-events.ts';
import { isA } from '../reason.ts';
import { type Routing, verdictOn } from '../retries/routing.ts';
import {
  blockedKeys,
  type NewScheduledEvent,
  type OnDeadLetter,
  storeScheduled,
} from '../retries/scheduled-events.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { type ChunkPlace, endChunk } from './chunk-starts.ts';
import type { HandlerRun, HandlerRunDeps, Thrown } from './handler-run.ts';
import type { DecodedEvent, InvalidRecord } from './sort-records.ts';

/** What accepting needs. */
export interface AcceptDeps<E, Tx extends ConsumerTransaction> extends HandlerRunDeps<E, Tx>, Routing<E> {
  readonly onDeadLetter: OnDeadLetter;
  readonly deadLetterSink: DeadLetterSink<Tx> | undefined;
  readonly deadLetterBytesMax: number;
  readonly killSwitch: KillSwitch;
  readonly crashPoint: (point: string) => void;
}

/** Records to take over, all of one partition, in its order. */
export interface Acceptance<E> {
  readonly events: readonly DecodedEvent<E>[];
  readonly invalid: readonly InvalidRecord[];
  /** The chunk that ends with this transaction, if it does. */
  readonly place: ChunkPlace | undefined;
  /** Events that count as new although the inbox has them: a handler ended the transaction of their rows. */
  readonly ownIds?: ReadonlySet<string> | undefined;
}

/** What one transaction has taken over. */
export interface Accepted {
  /** Events that were new and whose handler succeeded. */
  readonly handled: number;
  /** Ids of events that this consumer had taken over before, or that stand twice in the chunk. */
  readonly duplicates: readonly string[];
  /** Those of them that were taken over from another topic: replayed to it, or another producer's with the same id. */
  readonly fromOtherTopic: readonly string[];
  /** Events stored for a later try, of their own or behind one of their key, or skipped for good. */
  readonly scheduled: readonly NewScheduledEvent[];
  /** Dead letters that were new. */
  readonly deadLetters: readonly StoredDeadLetter[];
  /** Records that could not be decoded. */
  readonly invalid: readonly InvalidRecord[];
  readonly outcomes: Outcomes;
}

/** An event that failed, and what its handler threw. */
export interface Failure<E> extends Thrown {
  readonly delivery: Delivery<E>;
}

/** Handles new events, at least one, in their order; returns those that failed. Events behind them are left out. */
export type HandleNew<E> = (
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
  onFailure: (failures: readonly Failure<E>[], succeeded: number, undecided: number) => void,
) => Promise<readonly Failure<E>[]>;

/**
 * Takes over events and invalid records within `tx`: inbox rows first, then the look whether a key is blocked (in a
 * statement of its own: it must see what a transaction has stored that the inbox has just waited for), then the
 * handler, then what failed or waits, then dead letters and their sink.
 * @throws ConsumerError `CONSUMER_KILL_SWITCH`, `CONSUMER_STOPPED`, besides what `handleNew` and the statements throw
 */
export async function acceptIn<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  tx: Tx,
  { events, invalid, place, ownIds }: Acceptance<E>,
  { handlerRun, handleNew }: { handlerRun: HandlerRun<E>; handleNew: HandleNew<E> },
): Promise<Accepted> {
  const { consumerName, killSwitch, crashPoint } = deps;
  if (place !== undefined) await endChunk(tx, place);
  const { fresh, duplicates, fromOtherTopic } = await takeIn(deps, tx, { events, ownIds }, handlerRun);
  // A poison record that comes again is no new failure: a topic that is read once more would trip the kill switch.
  let invalidKeys: readonly string[] = [];
  const outcomesOf = (failures: readonly Failure<E>[], succeeded: number): Outcomes => ({
    succeeded,
    failedKeys: [...invalidKeys, ...failures.map(({ delivery }) => delivery.orderingKey)],
  });
  const assertSane = (failures: readonly Failure<E>[], succeeded: number, undecided = 0) => {
    if (killSwitch.trips({ ...outcomesOf(failures, succeeded), undecided }))
      throw tripped(failures.at(-1)?.thrown ?? invalid.at(-1)?.loggedReason);
  };

  const blocked = await blockedKeysOf(deps, tx, fresh);
  const runnable = blocked.size === 0 ? fresh : fresh.filter(({ orderingKey }) => !blocked.has(orderingKey));
  const failures = runnable.length === 0 ? [] : await handleNew(handlerRun, tx, runnable, assertSane);
  for (const { delivery } of failures) blocked.add(delivery.orderingKey);
  const scheduled = toSchedule(deps, fresh, failures, blocked);
  const handled = fresh.length - scheduled.length;

  const seqs = await storeScheduled(tx, consumerName, scheduled);
  const letters = [
    ...invalid.map((one) => letterOfInvalid(consumerName, one)),
    ...scheduled.flatMap((one, i) => (one.state === 'DEAD' ? [letterOf(consumerName, one, seqs[i])] : [])),
  ];
  const deadLetters = await insertDeadLetters(tx, letters, deps.deadLetterBytesMax);
  const poison = deadLetters.filter(({ scheduledSeq }) => scheduledSeq === null);
  invalidKeys = poison.map(({ partition, offset }) => `invalid:${partition}:${offset}`);
  assertSane(failures, handled);
  await tellSink(deps.deadLetterSink, tx, deadLetters);
  if (fresh.length + deadLetters.length > 0) crashPoint('consumer.accept.before-commit');
  const outcomes = outcomesOf(failures, handled);
  return { handled, duplicates, fromOtherTopic, scheduled, deadLetters, invalid, outcomes };
}

async function takeIn<E, Tx extends ConsumerTransaction>(
  { consumerName, handleTimeoutMs }: AcceptDeps<E, Tx>,
  tx: Tx,
  { events, ownIds }: Pick<Acceptance<E>, 'events' | 'ownIds'>,
  handlerRun: HandlerRun<E>,
): Promise<Pick<Accepted, 'duplicates' | 'fromOtherTopic'> & { fresh: Delivery<E>[] }> {
  const [first] = events;
  if (first === undefined) return { fresh: [], duplicates: [], fromOtherTopic: [] };
  const { topic, partition } = first.record;
  const eventIds = events.map(({ id }) => id);
  const offsets = events.map(({ record }) => record.offset);
  const received = { eventIds, topic, partition, offsets };
  const { isNew, backend } = await insertReceived(tx, consumerName, received, handleTimeoutMs);
  handlerRun.useBackend(backend, isNew);
  if (isNew.size === events.length)
    return { fresh: events.map((event) => ({ ...event, attempt: 1 })), duplicates: [], fromOtherTopic: [] };
  const fresh: Delivery<E>[] = [];
  const duplicates: string[] = [];
  const seen = new Set<string>();
  for (const event of events) {
    // A relay may have published an event twice in a row.
    if ((isNew.has(event.id) || ownIds?.has(event.id)) && !seen.has(event.id))
      fresh.push({ ...event, attempt: 1 });
    else duplicates.push(event.id);
    seen.add(event.id);
  }
  const again = duplicates.filter((id) => !isNew.has(id));
  return { fresh, duplicates, fromOtherTopic: await takenFromOtherTopic(tx, consumerName, topic, again) };
}

async function blockedKeysOf<E, Tx extends ConsumerTransaction>(
  { consumerName, onDeadLetter }: AcceptDeps<E, Tx>,
  tx: Tx,
  fresh: readonly Delivery<E>[],
): Promise<Set<string>> {
  if (fresh.length === 0) return new Set();
  const keys = fresh.map(({ orderingKey }) => orderingKey);
  return new Set(await blockedKeys(tx, consumerName, keys, onDeadLetter));
}

/** Events that failed, and those behind them, in the order of the partition. */
function toSchedule<E>(
  routing: Routing<E>,
  fresh: readonly Delivery<E>[],
  failures: readonly Failure<E>[],
  blocked: ReadonlySet<string>,
): NewScheduledEvent[] {
  if (blocked.size === 0) return [];
  const failureOf = new Map(failures.map((failure) => [failure.delivery.id, failure]));
  const failedKeys = new Map(failures.map(({ delivery }) => [delivery.orderingKey, delivery]));
  const scheduled: NewScheduledEvent[] = [];
  for (const [i, delivery] of fresh.entries()) {
    const { id: eventId, orderingKey, record } = delivery;
    const failure = failureOf.get(eventId);
    const failedBefore = failedKeys.get(orderingKey);
    if (failure === undefined) {
      if (!blocked.has(orderingKey)) continue;
      // Events of the key that stand before the failing one have been handled.
      if (failedBefore !== undefined && fresh.indexOf(failedBefore) > i) continue;
      scheduled.push({ eventId, orderingKey, record, state: 'DUE', attempts: 0, delayMs: 0, reason: null });
      continue;
    }
    const verdict = verdictOn(routing, delivery, failure.thrown);
    if (verdict.state === 'STOP') throw stopped(eventId, verdict.reason);
    const { state, delayMs, reason } = verdict;
    scheduled.push({ eventId, orderingKey, record, state, attempts: delivery.attempt, delayMs, reason });
  }
  return scheduled;
}

function letterOfInvalid(consumerName: string, { record, eventId, reason }: InvalidRecord): DeadLetter {
  return { ...record, consumerName, eventId, payload: null, reason, attempts: 1, scheduledSeq: null };
}

function letterOf(consumerName: string, event: NewScheduledEvent, seq: string | undefined): DeadLetter {
  const { record, eventId, attempts, reason } = event;
  const scheduledSeq = seq ?? null;
  return { ...record, consumerName, eventId, payload: null, reason: reason ?? '', attempts, scheduledSeq };
}

export function stopped(eventId: string, reason: string): ConsumerError {
  return new ConsumerError('CONSUMER_STOPPED', `routeError answered "stop" for event ${eventId}: ${reason}`);
}

/** The events of a transaction that a handler ended are stored as dead letters; then the consumer stands still. */
export function endedByHandler(cause: unknown): ConsumerError {
  const message =
    'a handler ended the transaction that it was given; the events of that chunk are dead letters';
  return new ConsumerError('CONSUMER_STOPPED', message, { cause });
}

export function tripped(lastFailure: unknown): ConsumerError {
  return new ConsumerError('CONSUMER_KILL_SWITCH', 'many different events fail; nothing was stored', {
    cause: lastFailure,
  });
}

/** Whether the consumer stands still after this error, through no fault of the infrastructure. */
export const isStandstill = (error: unknown): error is ConsumerError =>
  isA(error, ConsumerError) && (error.code === 'CONSUMER_KILL_SWITCH' || error.code === 'CONSUMER_STOPPED');
