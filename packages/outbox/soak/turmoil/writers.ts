import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '@orders/dev-stack/soak';
import type pg from 'pg';
import type { Outbox } from '../../src/index.ts';
import { poison } from './broken-broker.ts';

const aggregateCount = 24;
/** Fewer keys than aggregates: what fails of one must not touch another of its key. */
const keyCount = 8;
export const aggregateType = 'turmoil';

export async function createAggregates(pool: pg.Pool): Promise<void> {
  await pool.query('CREATE TABLE run_aggregates (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0)');
  await pool.query('INSERT INTO run_aggregates (id) SELECT generate_series(0, $1)', [aggregateCount - 1]);
}

/** Ids of committed events by aggregate and topic, in the order of the writers' turns at the aggregate's lock. */
export type Written = Map<string, string[]>;

/** Writes until it is over: few aggregates under row locks, each with events on all topics. */
export async function write(
  deps: { pool: pg.Pool; outbox: Outbox; topics: readonly string[]; written: Written; isOver: () => boolean },
  seed: number,
): Promise<void> {
  const random = createRandom(seed);
  while (!deps.isOver()) {
    const client = await deps.pool.connect();
    try {
      await client.query('BEGIN');
      await writeOne(client, deps, random);
    } finally {
      client.release();
    }
    if (random.chance(0.3)) await sleep(random.below(10));
  }
}

async function writeOne(
  client: pg.PoolClient,
  { outbox, topics, written }: Parameters<typeof write>[0],
  random: Random,
): Promise<void> {
  const aggregate = random.below(aggregateCount);
  const key = `key-${aggregate % keyCount}`;
  if (random.chance(0.5)) await client.query('SELECT pg_current_xact_id()');
  await client.query('UPDATE run_aggregates SET n = n + 1 WHERE id = $1', [aggregate]);
  const events = Array.from({ length: 1 + random.below(4) }, () => ({
    id: randomUUID(),
    topic: random.pick(topics),
    ...{ key, orderingKey: String(aggregate), aggregateType, type: 'thing.changed.v1', payload: {} },
    headers: random.chance(0.01) ? poison : {},
  }));
  await outbox.add(client, events);
  if (random.chance(0.1)) await sleep(random.below(50));
  if (random.chance(0.1)) {
    await client.query('ROLLBACK');
    return;
  }
  for (const { id, topic } of events) {
    const name = `${aggregate} on ${topic}`;
    written.set(name, [...(written.get(name) ?? []), id]);
  }
  await client.query('COMMIT');
  outbox.wake(random.chance(0.5) ? key : undefined);
}
