import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '@orders/dev-stack/soak';
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
import { createOutbox, type Outbox, type OutboxEvent } from '../../src/index.ts';

/** How much the writers have done. */
export interface WriterCounts {
  committed: number;
  /** Transactions rolled back on purpose. */
  rolledBack: number;
  /** Transactions that failed, in runs that take the servers away. */
  failed: number;
}

export interface WritersOptions {
  readonly seed: number;
  readonly url: string;
  readonly topic: string;
  readonly aggregates: readonly string[];
  readonly writers: number;
  /** Asked before each transaction: how long to wait first, milliseconds; undefined when there is enough. */
  readonly pause: (counts: WriterCounts) => number | undefined;
  /** Go on after an error (the server is being restarted); else the first one ends the run. */
  readonly goOnAfterErrors?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: tables of the run have no types
type Tx = Transaction<any>;

class RolledBack extends Error {}

const errorPauseMs = 200;

/**
 * Writers that are hard on an outbox. Every second one draws its transaction id before it takes any lock; some
 * transactions stay open for long, before the lock or after the event; some are rolled back, whole or to a savepoint;
 * some write to two aggregates.
 * @returns a promise of their end, and what they have done so far
 */
export function startWriters(options: WritersOptions): { done: Promise<void>; counts: WriterCounts } {
  const counts: WriterCounts = { committed: 0, rolledBack: 0, failed: 0 };
  const pool = new pg.Pool({ connectionString: options.url, max: options.writers + 1 });
  pool.on('error', () => undefined);
  // A connection that breaks in the middle of a transaction: the next statement reports it.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  const outbox = createOutbox({ pool });
  let over = false;

  async function write(writer: number): Promise<void> {
    const random = createRandom(options.seed * 1000 + writer);
    const plan = planner(random, options.aggregates, writer % 2 === 0);
    for (let waitMs = options.pause(counts); waitMs !== undefined && !over; waitMs = options.pause(counts)) {
      if (waitMs > 0) await sleep(waitMs);
      try {
        const written = await db
          .transaction()
          .execute((tx) => transaction(tx, outbox, plan(), options.topic));
        counts.committed += written;
        outbox.wake();
      } catch (thrown) {
        if (thrown instanceof RolledBack) counts.rolledBack += 1;
        else if (options.goOnAfterErrors) {
          counts.failed += 1;
          await sleep(errorPauseMs);
        } else {
          over = true;
          throw thrown;
        }
      }
    }
  }

  const done = Promise.all(Array.from({ length: options.writers }, (_, writer) => write(writer)))
    .then(() => outbox.close())
    .finally(() => pool.end());
  return { done, counts };
}

interface Plan {
  readonly earlyXid: boolean;
  /** Sorted, so that writers never wait for each other in a circle. */
  readonly aggregates: readonly { readonly id: string; readonly events: number }[];
  readonly waitBeforeLockMs: number;
  readonly waitAfterEventsMs: number;
  readonly savepoint: boolean;
  readonly rollBack: boolean;
}

function planner(random: Random, aggregates: readonly string[], earlyXid: boolean): () => Plan {
  return () => {
    const ids = new Set([random.pick(aggregates), ...(random.chance(0.2) ? [random.pick(aggregates)] : [])]);
    return {
      earlyXid,
      aggregates: [...ids].sort().map((id) => ({ id, events: 1 + random.below(8) })),
      waitBeforeLockMs: random.chance(0.1) ? random.below(100) : 0,
      waitAfterEventsMs: random.chance(0.06) ? 50 + random.below(250) : 0,
      savepoint: random.chance(0.05),
      rollBack: random.chance(0.1),
    };
  };
}

/** @returns how many events it wrote */
async function transaction(tx: Tx, outbox: Outbox, plan: Plan, topic: string): Promise<number> {
  if (plan.earlyXid) await sql`SELECT pg_current_xact_id()`.execute(tx);
  if (plan.waitBeforeLockMs > 0) await sleep(plan.waitBeforeLockMs);
  let written = 0;
  for (const { id, events } of plan.aggregates) {
    written += await writeEvents(tx, outbox, { topic, aggregate: id, count: events });
  }
  if (plan.savepoint) {
    await sql`SAVEPOINT discarded`.execute(tx);
    await outbox.add(tx, eventOf(topic, plan.aggregates[0]?.id ?? '', 0));
    await sql`ROLLBACK TO SAVEPOINT discarded`.execute(tx);
  }
  if (plan.waitAfterEventsMs > 0) await sleep(plan.waitAfterEventsMs);
  if (plan.rollBack) throw new RolledBack();
  return written;
}

async function writeEvents(tx: Tx, outbox: Outbox, o: { topic: string; aggregate: string; count: number }) {
  const { rows } = await sql<{ n: number }>`
    UPDATE run_aggregates SET n = n + ${o.count} WHERE id = ${o.aggregate} RETURNING n`.execute(tx);
  const last = rows[0]?.n ?? 0;
  const events = Array.from({ length: o.count }, (_, i) =>
    eventOf(o.topic, o.aggregate, last - o.count + 1 + i),
  );
  await sql`
    INSERT INTO run_written (aggregate, n, event_id)
    SELECT ${o.aggregate}, ${last - o.count} + i, id
    FROM unnest(${events.map((event) => event.id)}::uuid[]) WITH ORDINALITY AS e (id, i)`.execute(tx);
  await outbox.add(tx, events);
  return o.count;
}

/** Two aggregates each share a partition key: order is promised for the aggregate, not for the key. */
export const keyOf = (aggregate: string): string => `key-${Math.floor(Number(aggregate.split('-')[1]) / 2)}`;

function eventOf(topic: string, aggregate: string, n: number): OutboxEvent {
  const id = randomUUID();
  return {
    id,
    topic,
    key: keyOf(aggregate),
    type: 'thing.changed.v1',
    aggregateType: 'thing',
    orderingKey: aggregate,
    payload: { n },
    headers: { id },
  };
}
