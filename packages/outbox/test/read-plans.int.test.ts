import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { outboxNames } from '../src/postgres.ts';
import { createOutboxRows, type OutboxRow } from '../src/relay/outbox-rows.ts';
import { type OutboxDatabase, openTestDatabase } from './fixture.ts';
import { excessesOf, plansOf } from './plans.ts';

let database: OutboxDatabase;
let pool: pg.Pool;
const names = outboxNames();
const batch = 20;
const requests = Array.from({ length: 64 }, (_, bucket) => ({ bucket, topics: [], only: false }));

beforeAll(async () => {
  database = await openTestDatabase();
  pool = database.pool;
  await pool.query(`INSERT INTO outbox_relays VALUES ('me', now(), now() + '1 h')`);
  await pool.query(`UPDATE outbox_buckets SET owner = 'me'`);
  // Statistics are those that the test makes.
  const { rows } = await pool.query('SELECT partition FROM outbox_partitions()');
  for (const { partition } of rows)
    await pool.query(`ALTER TABLE ${partition} SET (autovacuum_enabled = false)`);
});
afterAll(() => database?.close());

const write = (count: number, state: 'unpublished' | 'published') =>
  pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, published_at)
     SELECT gen_random_uuid(), n % 64, 't', 'k', 'y', 'a', 'i' || n % 1000, '{}', $2::timestamptz
     FROM generate_series(1, $1::int) n`,
    [count, state === 'published' ? new Date() : null],
  );

/** A read of all buckets, a mark of what was read, an advance of the low-water mark, and the status's count: the package's own statements. */
async function expectPlansByIndex(): Promise<void> {
  let found: readonly OutboxRow[] = [];
  const reads = await plansOf(pool, async (explaining) => {
    ({ rows: found } = await createOutboxRows(explaining, names, 'me').read(requests, batch, 10_000));
  });
  expect(found).toHaveLength(64 * batch);
  expect(excessesOf(reads, batch)).toEqual([]);
  const marks = await plansOf(pool, async (explaining) => {
    await explaining.query('BEGIN');
    expect(await createOutboxRows(explaining, names, 'me').mark(found)).toBe(found.length);
    await explaining.query('ROLLBACK');
  });
  expect(excessesOf(marks, found.length)).toEqual([]);
  await pool.query('UPDATE outbox_buckets SET low_seq = 0');
  const advances = await plansOf(pool, (explaining) =>
    explaining.query(`SELECT ${names.advanceLowWater}('me', last_value) FROM ${names.sequence}`),
  );
  expect(excessesOf(advances, batch)).toEqual([]);
  const counts = await plansOf(pool, (explaining) =>
    explaining.query(`SELECT * FROM ${names.backlog}($1)`, [batch]),
  );
  expect(excessesOf(counts, batch)).toEqual([]);
  // The plans were looked at indeed.
  for (const plans of [reads, advances, counts])
    expect(JSON.stringify(plans)).toMatch(/"Merge Append".*bucket_seq/s);
  expect(JSON.stringify(marks)).toMatch(/"ModifyTable".*pkey/s);
}

const states: Record<string, () => Promise<unknown>> = {
  'was never analysed': async () => undefined,
  'was analysed when it was empty': async () => {
    await pool.query('TRUNCATE outbox');
    await pool.query('VACUUM ANALYZE outbox');
  },
  'was analysed when nothing of a long history was unpublished': async () => {
    await pool.query('TRUNCATE outbox');
    await write(50_000, 'published');
    await pool.query('VACUUM ANALYZE outbox');
  },
  'was analysed when all was unpublished': async () => {
    await pool.query('TRUNCATE outbox');
    await write(10_000, 'unpublished');
    await pool.query('VACUUM ANALYZE outbox');
  },
  'has a hundred partitions': async () => {
    for (let n = 0; n < 90; n += 1) {
      const from = `timestamptz '2001-01-01' + interval '${n} days'`;
      await pool.query(
        `DO $$ BEGIN EXECUTE format('CREATE TABLE outbox_p${20010101 + n} PARTITION OF outbox FOR VALUES FROM (%L) TO (%L)',
           ${from}, ${from} + interval '1 day'); END $$`,
      );
    }
    await pool.query('ANALYZE outbox');
  },
};

it.for(Object.keys(states))('a poll reads by the index, in its order, when the table %s', async (state) => {
  await states[state]?.();
  await write(10_000, 'unpublished');
  await expectPlansByIndex();
});
