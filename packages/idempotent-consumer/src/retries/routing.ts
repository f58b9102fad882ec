import { fullJitterMs } from '../backoff.ts';
import type { Delivery } from '../handler.ts';
import type { Logger } from '../logger.ts';
import { asError, isA, reasonOf, storableText } from '../reason.ts';
import type { ConsumedRecord } from '../record.ts';
import { isTransient } from '../transient.ts';

/** How often a failing event is tried, and when. */
export interface Retry {
  /** Tries of one event, the first included (3); then it is a dead letter. */
  readonly attemptsMax: number;
  /** The same for errors that are about the moment (`isTransient`), as a lock that was not to be had (30). */
  readonly transientAttemptsMax: number;
  /** Upper limit of the first delay (1 s); doubles with every further one, with full jitter. */
  readonly baseMs: number;
  /** Its longest (10 min). */
  readonly maxMs: number;
}

export const retryDefaults: Retry = {
  attemptsMax: 3,
  transientAttemptsMax: 30,
  baseMs: 1_000,
  maxMs: 600_000,
};

/**
 * What is to become of an event whose handler failed: `retry` it until its attempts are spent, make it a `dead-letter`
 * at once, `skip` it for good with a reason that is kept, or `stop` the consumer and store nothing.
 */
export type Route = 'retry' | 'dead-letter' | 'stop' | { readonly skip: string };

/** What a failure is judged by. */
export interface RoutedFailure<E> {
  /** What the handler threw; it may be anything. */
  readonly error: unknown;
  readonly event: E;
  readonly eventId: string;
  readonly record: ConsumedRecord;
  /** Which try this was, from 1. */
  readonly attempt: number;
}

/** Decides by the error; what it throws itself, and an answer that is none of these, counts as `retry`. */
export type RouteError<E> = (failure: RoutedFailure<E>) => Route;

/** What is said of an event whose handler ends the process that runs it; it becomes a dead letter. */
export class EndsItsProcess extends Error {
  constructor(starts: number) {
    super(`its handler was begun ${starts - 1} times by processes that did not live to say how it ended`);
    this.name = 'EndsItsProcess';
  }
}

/**
 * What is said of an event whose handler committed or rolled back the transaction that it was given: what it did before
 * or after that may stand, and nobody knows. It becomes a dead letter.
 */
export class EndedItsTransaction extends Error {
  constructor(cause: unknown) {
    const threw = cause === undefined ? '' : `; it threw ${reasonOf(cause)}`;
    super(`its handler ended the transaction that it was given; what it did may stand${threw}`, { cause });
    this.name = 'EndedItsTransaction';
  }
}

/** How {@link verdictOn} decides. */
export interface Routing<E> {
  readonly retry: Retry;
  readonly routeError: RouteError<E> | undefined;
  readonly logger: Logger;
}

/** What becomes of a failing event, as it is stored. */
export type Verdict =
  | { readonly state: 'DUE'; readonly delayMs: number; readonly reason: string }
  | { readonly state: 'DEAD' | 'SKIPPED'; readonly delayMs: 0; readonly reason: string }
  | { readonly state: 'STOP'; readonly reason: string };

export function verdictOn<E>(
  { retry, routeError, logger }: Routing<E>,
  { event, record, id, attempt }: Delivery<E>,
  thrown: unknown,
): Verdict {
  let reason = reasonOf(thrown);
  if (isA(thrown, EndsItsProcess) || isA(thrown, EndedItsTransaction))
    return { state: 'DEAD', delayMs: 0, reason };
  let route: Route = 'retry';
  try {
    route = checked(routeError?.({ error: thrown, event, eventId: id, record, attempt }));
  } catch (error) {
    logger.error({ eventId: id, err: asError(error) }, 'routeError failed; the event is tried again');
    reason = `${reason}; routeError failed: ${reasonOf(error)}`;
  }
  if (typeof route === 'object')
    return { state: 'SKIPPED', delayMs: 0, reason: `${storableText(route.skip)}: ${reason}` };
  if (route === 'stop') return { state: 'STOP', reason };
  const attemptsMax = isTransient(thrown) ? retry.transientAttemptsMax : retry.attemptsMax;
  if (route === 'dead-letter' || attempt >= attemptsMax) return { state: 'DEAD', delayMs: 0, reason };
  return { state: 'DUE', delayMs: fullJitterMs(attempt, retry), reason };
}

/** An answer that is misread would be an event that is lost. */
function checked(answer: unknown): Route {
  if (answer === undefined || answer === 'retry') return 'retry';
  if (answer === 'dead-letter' || answer === 'stop') return answer;
  const { skip, then } = (answer ?? {}) as { skip?: unknown; then?: unknown };
  if (typeof skip === 'string') return { skip };
  // A promise comes too late, and its rejection must not end the process.
  if (typeof then === 'function') Promise.resolve(answer).catch(() => undefined);
  throw new TypeError(
    `not an answer of routeError: ${typeof then === 'function' ? 'a promise' : String(answer)}`,
  );
}
