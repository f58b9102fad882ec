import { OutboxError } from './errors.ts';
import { columnsOf, type OutboxColumns, type OutboxEvent, type TraceContext } from './event.ts';
import type { Logger } from './logger.ts';
import { harmlessLogger } from './observers.ts';
import { outboxNames, type PoolLike } from './postgres.ts';
import { type OutboxStatus, type OutboxStatusOptions, outboxStatus } from './status.ts';
import { inTransactionSql, type OutboxTransaction, runOnlyInTransaction } from './transaction.ts';
import { createWake } from './wake.ts';

/** The writing side. */
export interface Outbox {
  /**
   * Writes events in the caller's transaction, so that they exist exactly if it commits. They keep their order.
   * Transactions that write events of one aggregate must serialise before they call this (row lock, version check or
   * `lockKey`): the order of events written by transactions that do not is undefined.
   * @returns the ids, in the order of the events
   * @throws OutboxError `OUTBOX_NOT_IN_TRANSACTION`, `OUTBOX_EVENT_INVALID`, `OUTBOX_EVENT_TOO_LARGE`
   */
  add(tx: OutboxTransaction, events: OutboxEvent | readonly OutboxEvent[]): Promise<string[]>;
  /**
   * Tells the relays that events have been committed; call it after the commit. Returns at once, never throws, and
   * may be forgotten: that costs one poll interval of the relay. Does nothing without a pool.
   * @param keys of the events (`key`, not `orderingKey`): the relays look there only, which costs them a fraction;
   * without keys they look everywhere
   */
  wake(keys?: string | readonly string[]): void;
  /** Looks at the outbox; see {@link outboxStatus}. Needs a pool. @throws OutboxError `OUTBOX_OPTION_INVALID` */
  status(options?: Pick<OutboxStatusOptions, 'countMax'>): Promise<OutboxStatus>;
  /** Sends a wake-up that is still due, and sends no more. */
  close(): Promise<void>;
}

/** Options of {@link createOutbox}. */
export interface OutboxOptions {
  /** Connections for {@link Outbox.wake} and {@link Outbox.status}; `add` uses the caller's transaction. */
  readonly pool?: Pick<PoolLike, 'query'>;
  /** After a wake-up, those asked for within this time become one (1). */
  readonly wakeDebounceMs?: number;
  /** Schema of the tables; else `search_path` decides. */
  readonly schema?: string;
  /** Told about wake-ups that could not be sent. */
  readonly logger?: Logger;
  /** The trace that `add` is called in; written as headers unless the event has a `traceparent` of its own. */
  readonly traceContext?: () => TraceContext | undefined;
  /**
   * Bytes of key, payload and headers that an event may have (900,000); a larger one is refused at `add`. Keep it
   * below the topic's `max.message.bytes`.
   */
  readonly recordBytesMax?: number;
}

/** Creates the writing side of the outbox. */
export function createOutbox(options: OutboxOptions = {}): Outbox {
  const { recordBytesMax = 900_000 } = options;
  const names = outboxNames(options.schema);
  const insert = `SELECT ${names.add}($1, $2, $3, $4, $5, $6, $7, $8, $9) WHERE ${inTransactionSql}`;
  const wake = createWake({
    pool: options.pool,
    channel: names.channel,
    debounceMs: options.wakeDebounceMs ?? 1,
    logger: harmlessLogger(options.logger),
  });

  async function add(tx: OutboxTransaction, events: OutboxEvent | readonly OutboxEvent[]): Promise<string[]> {
    const list: readonly OutboxEvent[] = Array.isArray(events) ? events : [events as OutboxEvent];
    if (list.length === 0) return [];
    const traceContext = options.traceContext?.();
    const rows = list.map((event) => columnsOf(event, { recordBytesMax, traceContext }));
    await runOnlyInTransaction(tx, insert, valuesOf(rows));
    return rows.map((row) => row.id);
  }

  async function status(limit: Pick<OutboxStatusOptions, 'countMax'> = {}): Promise<OutboxStatus> {
    const { pool, schema } = options;
    if (pool === undefined) throw new OutboxError('OUTBOX_OPTION_INVALID', 'status needs a pool');
    return outboxStatus(pool, { ...limit, ...(schema === undefined ? {} : { schema }) });
  }

  return { add, wake: wake.wake, status, close: wake.close };
}

const valuesOf = (rows: readonly OutboxColumns[]): unknown[] => [
  rows.map((row) => row.id),
  rows.map((row) => row.topic),
  rows.map((row) => row.key),
  rows.map((row) => row.type),
  rows.map((row) => row.aggregateType),
  rows.map((row) => row.orderingKey),
  rows.map((row) => row.payload),
  rows.map((row) => row.value),
  rows.map((row) => row.headers),
];
