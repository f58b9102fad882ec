import { CompiledQuery, type QueryResult } from 'kysely';
import { OutboxError } from './errors.ts';
import { assertEvent, type OutboxEvent, payloadText } from './event.ts';
import { type Logger, silentLogger } from './logger.ts';
import { outboxNames, type PoolLike } from './postgres.ts';
import { createWake } from './wake.ts';

/**
 * A Kysely `Transaction`, whatever its database type. A `Kysely` instance is not one: its `isTransaction` is a plain
 * boolean, so handing over the pool does not compile.
 */
export interface OutboxTransaction {
  readonly isTransaction: true;
  executeQuery<R>(query: CompiledQuery<R>): Promise<QueryResult<R>>;
}

/** The writing side. */
export interface Outbox {
  /**
   * Writes events in the caller's transaction, so that they exist exactly if it commits. They keep their order.
   * Transactions that write events of one aggregate must serialise before they call this (row lock or version
   * check): the order of events written by transactions that do not is undefined.
   * @throws OutboxError `OUTBOX_NOT_IN_TRANSACTION`, `OUTBOX_EVENT_INVALID`
   */
  add(tx: OutboxTransaction, events: OutboxEvent | readonly OutboxEvent[]): Promise<void>;
  /**
   * Tells the relays that events have been committed; call it after the commit. Returns at once, never throws, and
   * may be forgotten: that costs one poll interval of the relay. Does nothing without a pool.
   */
  wake(): void;
  /** Sends a wake-up that is still due, and sends no more. */
  close(): Promise<void>;
}

/** Options of {@link createOutbox}. */
export interface OutboxOptions {
  /** Connections for {@link Outbox.wake}; `add` uses the caller's transaction. */
  readonly pool?: Pick<PoolLike, 'query'>;
  /** Wake-ups within this time become one (5). */
  readonly wakeDebounceMs?: number;
  /** Schema of the tables; else `search_path` decides. */
  readonly schema?: string;
  /** Told about wake-ups that could not be sent. */
  readonly logger?: Logger;
}

/** Creates the writing side of the outbox. */
export function createOutbox(options: OutboxOptions = {}): Outbox {
  const names = outboxNames(options.schema);
  const wake = createWake({
    pool: options.pool,
    channel: names.channel,
    debounceMs: options.wakeDebounceMs ?? 5,
    logger: options.logger ?? silentLogger,
  });

  async function add(tx: OutboxTransaction, events: OutboxEvent | readonly OutboxEvent[]): Promise<void> {
    const list: readonly OutboxEvent[] = Array.isArray(events) ? events : [events as OutboxEvent];
    if (list.length === 0) return;
    const insert = insertOf(names.outbox, list);
    if (await inserts(tx, insert)) return;
    // Either this transaction has written nothing yet, or there is none: a local setting outlives the statement
    // that makes it only inside a transaction.
    await tx.executeQuery(CompiledQuery.raw(`SELECT set_config('outbox.in_transaction', '1', true)`));
    if (await inserts(tx, insert)) return;
    throw new OutboxError(
      'OUTBOX_NOT_IN_TRANSACTION',
      'the event and the change it tells of must share one transaction; this is none, or it is over',
    );
  }

  return { add, wake: wake.wake, close: wake.close };
}

async function inserts(tx: OutboxTransaction, insert: CompiledQuery): Promise<boolean> {
  const { numAffectedRows } = await tx.executeQuery(insert);
  return numAffectedRows !== undefined && numAffectedRows > 0n;
}

/**
 * One statement however many events; inserts all of them or, outside a transaction, none. A transaction that has
 * written before has an id, which an autocommitted statement does not have when its condition is evaluated; so the
 * usual case (first the change, then its event) costs no extra round trip.
 */
function insertOf(table: string, events: readonly OutboxEvent[]): CompiledQuery {
  for (const event of events) assertEvent(event);
  const columns = [
    events.map((event) => event.id),
    events.map((event) => event.topic),
    events.map((event) => event.key),
    events.map((event) => event.type),
    events.map((event) => event.aggregateType),
    events.map((event) => event.aggregateId),
    events.map(payloadText),
    events.map((event) => (event.value === undefined ? null : Buffer.from(event.value))),
    events.map((event) => JSON.stringify(event.headers ?? {})),
  ];
  return CompiledQuery.raw(
    `INSERT INTO ${table}
       (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, value, headers)
     SELECT id, get_byte(sha256(convert_to(key, 'UTF8')), 0) % 64, topic, key, type, aggregatetype, aggregateid,
            payload::jsonb, value, headers::jsonb
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
                 $9::text[])
       WITH ORDINALITY AS e (id, topic, key, type, aggregatetype, aggregateid, payload, value, headers, n)
     WHERE pg_current_xact_id_if_assigned() IS NOT NULL
        OR current_setting('outbox.in_transaction', true) = '1'
     ORDER BY n`,
    columns,
  );
}
