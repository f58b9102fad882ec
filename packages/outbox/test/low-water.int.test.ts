import { type OwnServer, startOwnPostgres } from '@orders/dev-stack/own-servers';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createOutbox, type OutboxEvent } from '../src/index.ts';
import { outboxNames, type PoolLike } from '../src/postgres.ts';
import { createLowWaterMark } from '../src/relay/low-water.ts';
import { createOutboxRows } from '../src/relay/outbox-rows.ts';
import { type AnyKysely, eventFor, eventsFor, migrate } from './fixture.ts';
import { poll } from './relay-fixture.ts';

// Transaction ids are the server's, not the database's: here nobody else draws any.
let server: OwnServer & { url: string };
let pool: pg.Pool;
let db: AnyKysely;
const names = outboxNames();
const outbox = createOutbox();
const me = 'me';

beforeAll(async () => {
  server = await startOwnPostgres();
  await migrate(server.url);
  pool = new pg.Pool({ connectionString: server.url, max: 6 });
  pool.on('error', () => undefined);
  db = new Kysely({ dialect: new PostgresDialect({ pool }) });
  await pool.query(
    `INSERT INTO outbox_relays (id, heartbeat_at, lease_until) VALUES ('me', now(), now() + '1 h'), ('other', now(), now() + '1 h')`,
  );
});
beforeEach(async () => {
  await pool.query('TRUNCATE outbox');
  await pool.query(`UPDATE outbox_buckets SET owner = 'me', epoch = 1, low_seq = 0`);
});
afterAll(async () => {
  await pool?.end();
  await server?.close();
});

const add = (events: OutboxEvent | readonly OutboxEvent[]) =>
  db.transaction().execute((tx) => outbox.add(tx, events));
const publishAll = () => pool.query('UPDATE outbox SET published_at = now() WHERE published_at IS NULL');
const mark = () => createLowWaterMark(pool, names, me, 50);

/** `low_seq` that differ, lowest first. */
async function lowSeqs(): Promise<number[]> {
  const { rows } = await pool.query('SELECT DISTINCT low_seq::int AS n FROM outbox_buckets ORDER BY n');
  return rows.map((row) => row.n);
}

async function lastSeq(): Promise<number> {
  const { rows } = await pool.query('SELECT last_value::int AS n FROM outbox_seq');
  return rows[0].n;
}

/** A transaction that has written an event and stays open. */
async function openWriter(event: OutboxEvent) {
  const client = await pool.connect();
  await client.query('BEGIN');
  await outbox.add(client, event);
  return {
    async end(how: 'COMMIT' | 'ROLLBACK') {
      await client.query(how);
      client.release();
    },
  };
}

/** As many steps as an advance may take when nobody has to be waited for, and more. */
async function steps(lowWater: { step(): Promise<number> }, count = 4): Promise<void> {
  for (let n = 0; n < count; n += 1) await lowWater.step();
}

describe('a writer', () => {
  it('owns its transaction id before it draws a number, and the sequence caches none', async () => {
    await pool.query(`CREATE FUNCTION draw() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
      IF pg_current_xact_id_if_assigned() IS NULL THEN RAISE 'a number without a transaction id'; END IF;
      RETURN nextval('outbox_seq'); END $$`);
    await pool.query(`ALTER TABLE outbox ALTER seq SET DEFAULT draw()`);
    try {
      await add(eventsFor('any', 3));
      await pool.query(
        `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload)
         VALUES (gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}')`,
      );
    } finally {
      await pool.query(`ALTER TABLE outbox ALTER seq SET DEFAULT nextval('outbox_seq')`);
    }
    const { rows } = await pool.query(
      `SELECT seqcache::int AS cache FROM pg_sequence WHERE seqrelid = 'outbox_seq'::regclass`,
    );
    expect(rows).toEqual([{ cache: 1 }]);
  });
});

describe('the low-water mark', () => {
  it('goes behind everything that is published', async () => {
    await add(eventsFor('any', 20));
    await publishAll();
    await steps(mark());
    expect(await lowSeqs()).toEqual([(await lastSeq()) + 1]);
  });

  it('does not pass the row of a quiet writer that holds the highest transaction id', async () => {
    await add(eventsFor('any', 5));
    await publishAll();
    const writer = await openWriter(eventFor('any', 'quiet'));
    const seq = await lastSeq();
    const lowWater = mark();
    await steps(lowWater);
    const whileOpen = await lowSeqs();
    await writer.end('COMMIT');
    expect(whileOpen.every((low) => low <= seq)).toBe(true);
    await steps(lowWater);
    expect((await lowSeqs())[0]).toBe(seq);
  });

  it('waits for a long writer, whose row it does not pass, and goes on when that has ended', async () => {
    const writer = await openWriter(eventFor('any', 'long'));
    const seq = await lastSeq();
    await add(eventsFor('any', 10));
    await publishAll();
    const lowWater = mark();
    await steps(lowWater, 10);
    const whileOpen = await lowSeqs();
    await writer.end('COMMIT');
    expect(whileOpen).toEqual([0]);
    await steps(lowWater);
    expect((await lowSeqs())[0]).toBe(seq);
    await publishAll();
    await steps(lowWater);
    expect(await lowSeqs()).toEqual([(await lastSeq()) + 1]);
  });

  it('passes the number of a transaction that was rolled back', async () => {
    const writer = await openWriter(eventFor('any', 'gone'));
    await writer.end('ROLLBACK');
    await steps(mark());
    expect(await lowSeqs()).toEqual([(await lastSeq()) + 1]);
  });

  it('looks again once the writers have ended, and stops at the first row that is not published', async () => {
    await add(eventsFor('any', 10));
    await publishAll();
    await add(eventFor('any', 'waiting'));
    const seq = await lastSeq();
    await add(eventFor('any', 'waiting'));
    await steps(mark());
    expect(await lowSeqs()).toEqual([seq, seq + 2]);
  });

  it('is moved by the owner only, and not by an owner that lost the bucket meanwhile', async () => {
    const writer = await openWriter(eventFor('any', 'long'));
    const lowWater = mark();
    await steps(lowWater);
    await pool.query(`UPDATE outbox_buckets SET owner = 'other', epoch = epoch + 1`);
    await writer.end('ROLLBACK');
    await steps(lowWater);
    expect(await lowSeqs()).toEqual([0]);
  });
});

describe('under a held snapshot', () => {
  it('a poll does not wade through what is published', { timeout: 60_000 }, async () => {
    const holder = await pool.connect();
    try {
      await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await holder.query('SELECT count(*) FROM outbox');
      await pool.query(
        `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload)
         SELECT gen_random_uuid(), n % 64, 't', 'k', 'y', 'a', 'i', '{}' FROM generate_series(1, 40000) n`,
      );
      await publishAll();
      const before = await buffersOfPoll();
      const lowWater = mark();
      await expect
        .poll(async () => {
          await lowWater.step();
          return (await lowSeqs())[0];
        }, poll)
        .toBe((await lastSeq()) + 1);
      const after = await buffersOfPoll();
      expect(before).toBeGreaterThan(10_000);
      expect(after).toBeLessThan(before / 10);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
  });
});

/** Pages that the relay's own read of all buckets touches. */
async function buffersOfPoll(): Promise<number> {
  let pages = 0;
  const explaining: PoolLike = {
    connect: () => pool.connect(),
    async query(text, values) {
      if (!text.includes('outbox_read(')) return pool.query(text, values);
      const { rows } = await pool.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
      const plan = rows[0]['QUERY PLAN'][0].Plan;
      pages = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
      return { rows: [], rowCount: 0 };
    },
  };
  const requests = Array.from({ length: 64 }, (_, bucket) => ({ bucket, topics: [], only: false }));
  await createOutboxRows(explaining, names, me).read(requests, 100, 10_000);
  return pages;
}
