import type { DeadLetterSink } from './dead-letters/dead-letters.ts';
import { deadLetterBytesMaxDefault } from './dead-letters/dead-letters.ts';
import { ConsumerError } from './errors.ts';
import type { Handle, HandleBatch } from './handler.ts';
import { type EventIdentity, eventIdProblem } from './intake/sort-records.ts';
import type { Logger } from './logger.ts';
import type { ConsumerMetrics } from './metrics.ts';
import { type KillSwitchOptions, killSwitchDefaults } from './operation/kill-switch.ts';
import { type RetentionOptions, retentionSettings } from './operation/retention.ts';
import type { ConsumedRecord, Decode } from './record.ts';
import { type Retry, type RouteError, retryDefaults } from './retries/routing.ts';
import type { OnDeadLetter } from './retries/scheduled-events.ts';
import type { RecordSource } from './source.ts';
import type { ConsumerTransaction, RunTransaction } from './transaction.ts';

/** What a consumer works with. */
export interface ConsumerDeps<Tx extends ConsumerTransaction> {
  /** `kafkajsSource(…)` or `platformaticSource(…)`; a source belongs to one consumer. */
  readonly source: RecordSource;
  readonly transaction: RunTransaction<Tx>;
  /** Told of new dead letters in their transaction; without one only the table is written. */
  readonly deadLetterSink?: DeadLetterSink<Tx>;
  readonly logger?: Logger;
  /** For `@prometheus-io/client`: `createPrometheusMetrics` of `./prometheus`. */
  readonly metrics?: ConsumerMetrics;
  /** Called at named places that a crash must not harm; does nothing in production. */
  readonly crashPoint?: (point: string) => void;
}

/** How a consumer behaves. Exactly one of `handle` and `handleBatch` is given. */
export interface ConsumerOptions<E, Tx extends ConsumerTransaction> {
  /** The logical consumer whose inbox this is: the same for all replicas, and after a change of group. */
  readonly consumerName: string;
  readonly decode: Decode<E>;
  /**
   * Handles one new event. All it does must happen in `tx` and be undone with it, for it may be called again with the
   * same event after a rollback.
   */
  readonly handle?: Handle<E, Tx>;
  /** Handles all new events of a chunk at once, for set-based SQL; the same holds. Retries come one by one. */
  readonly handleBatch?: HandleBatch<E, Tx>;
  /** Events of one key are handled in order, and wait behind one that failed. The record's key unless given. */
  readonly orderingKey?: (event: E, record: ConsumedRecord) => string | null;
  /**
   * What tells events apart. `id`, the id alone, unless `decode` gives a `source`; must be said with several topics,
   * where two producers may use the same ids.
   */
  readonly identity?: EventIdentity;
  readonly retry?: Partial<Retry>;
  /** Decides by the error what becomes of an event; `retry` unless given. */
  readonly routeError?: RouteError<E>;
  /** Whether later events of a key wait while one is a dead letter: `block-key`. */
  readonly onDeadLetter?: OnDeadLetter;
  readonly killSwitch?: Partial<KillSwitchOptions>;
  /** After this long a handler's transaction is ended, whatever it does; 30 s. */
  readonly handleTimeoutMs?: number;
  /** Chunks handled at the same time, each with a connection; 3. */
  readonly partitionsInParallelMax?: number;
  /** Stored events tried at the same time, each with a connection; 2. */
  readonly retriesInParallelMax?: number;
  /** How often stored events that are due are looked for, and whether the consumer is paused; 1 s. */
  readonly pollIntervalMs?: number;
  /** Starts of one event without an end, each of which ended the process, until it is a dead letter; 10, at least 2. */
  readonly startsMax?: number;
  /** Bytes of a value that a dead letter keeps; 1 MiB. Its length and hash are kept always. */
  readonly deadLetterBytesMax?: number;
  /** Backoff of a chunk that cannot be accepted through no fault of its events; 100 ms, doubling. */
  readonly acceptRetryBaseMs?: number;
  /** Its longest delay; 10 s. */
  readonly acceptRetryMaxMs?: number;
  /** After this long without an accepted chunk, while one is in hand, the consumer is unhealthy; 90 s. */
  readonly stalledAfterMs?: number;
  /** Deletes what is older than its horizons, while this consumer runs; nothing is deleted unless given. */
  readonly retention?: RetentionOptions;
}

const numbers = {
  handleTimeoutMs: 30_000,
  partitionsInParallelMax: 3,
  retriesInParallelMax: 2,
  pollIntervalMs: 1_000,
  startsMax: 10,
  deadLetterBytesMax: deadLetterBytesMaxDefault,
  acceptRetryBaseMs: 100,
  acceptRetryMaxMs: 10_000,
  stalledAfterMs: 90_000,
};

/** Options with their defaults. */
export type ConsumerSettings<E, Tx extends ConsumerTransaction> = typeof numbers & {
  readonly consumerName: string;
  readonly decode: Decode<E>;
  readonly handle: Handle<E, Tx> | undefined;
  readonly handleBatch: HandleBatch<E, Tx> | undefined;
  readonly orderingKey: ((event: E, record: ConsumedRecord) => string | null) | undefined;
  readonly identity: EventIdentity | undefined;
  readonly retry: Retry;
  readonly routeError: RouteError<E> | undefined;
  readonly onDeadLetter: OnDeadLetter;
  readonly killSwitch: KillSwitchOptions;
  readonly retention: Required<RetentionOptions> | undefined;
};

/** @throws ConsumerError `CONSUMER_OPTION_INVALID` */
export function settingsOf<E, Tx extends ConsumerTransaction>(
  options: ConsumerOptions<E, Tx>,
  topics: readonly string[],
): ConsumerSettings<E, Tx> {
  const settings: ConsumerSettings<E, Tx> = {
    ...numbers,
    ...options,
    handle: options.handle,
    handleBatch: options.handleBatch,
    orderingKey: options.orderingKey,
    routeError: options.routeError,
    retry: { ...retryDefaults, ...options.retry },
    killSwitch: { ...killSwitchDefaults, ...options.killSwitch },
    onDeadLetter: options.onDeadLetter ?? 'block-key',
    identity: options.identity,
    retention: options.retention && retentionSettings(options.retention),
  };
  // A consumer name is the other half of the inbox's key.
  const problem = eventIdProblem(settings.consumerName);
  if (problem !== undefined) throw invalid(problem.replace('event id', 'consumerName'));
  assertOneOf('identity', settings.identity, [undefined, 'id', 'topic', 'source']);
  assertOneOf('onDeadLetter', settings.onDeadLetter, ['block-key', 'continue']);
  if ((options.handle === undefined) === (options.handleBatch === undefined))
    throw invalid('exactly one of handle and handleBatch is needed');
  if (new Set(topics).size > 1 && options.identity === undefined)
    throw invalid(
      'identity is needed with several topics: "topic" or "source" if two producers may use the same event id, "id" if none do',
    );
  assertPositive(settings, Object.keys(numbers));
  if (settings.startsMax < 2)
    throw invalid(
      'startsMax is less than 2; the first start is that of a whole chunk, and may be the fault of others',
    );
  assertPositive(settings.retry, Object.keys(retryDefaults), 'retry.');
  const { shareMin, ...counts } = settings.killSwitch;
  assertPositive(counts, Object.keys(counts), 'killSwitch.');
  if (!(shareMin > 0 && shareMin <= 1)) throw invalid('killSwitch.shareMin is not between 0 and 1');
  return settings;
}

/** What is misspelt would mean something else. */
function assertOneOf(name: string, value: unknown, known: readonly unknown[]): void {
  const names = known.filter((one) => one !== undefined).map((one) => `"${one}"`);
  if (!known.includes(value)) throw invalid(`${name} is none of ${names.join(', ')}`);
}

function assertPositive(values: object, names: readonly string[], prefix = ''): void {
  for (const name of names) {
    const value = (values as Record<string, unknown>)[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      throw invalid(`${prefix}${name} is not a positive integer`);
  }
}

const invalid = (message: string) => new ConsumerError('CONSUMER_OPTION_INVALID', message);
