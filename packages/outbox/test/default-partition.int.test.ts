import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { movedRowsMax } from '../src/relay/default-partition.ts';
import { createOutboxRows } from '../src/relay/outbox-rows.ts';
import { openPartitions, type Partitions } from './partition-fixture.ts';

let on: Partitions;
beforeEach(async () => {
  on = await openPartitions();
});
afterEach(() => on?.close());

/** As if no relay had run for weeks: nothing but the default partition is left. */
async function dropAhead(): Promise<void> {
  await on.pool.query(`DROP TABLE ${[0, -1, -2, -3, -4, -5, -6, -7].map(on.nameOf).join()}`);
}

/** Rows of one moment in the default partition. */
const fill = (count: number, o: { age?: number; published?: boolean } = {}) =>
  on.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at, published_at)
     SELECT gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}', clock_timestamp() - make_interval(days => $2),
            CASE WHEN $3 THEN now() END FROM generate_series(1, $1)`,
    [count, o.age ?? 0, o.published ?? true],
  );

const inDefault = () =>
  on.count(`tableoid IN (SELECT partition::regclass FROM outbox_partitions() WHERE is_default)`);
const seqs = async () => (await on.pool.query('SELECT seq, xid, id FROM outbox ORDER BY seq')).rows;

describe('rows in the default partition', () => {
  it('move to partitions that are made for them, published or not, today and in the past', async () => {
    await dropAhead();
    await on.write([{ age: 3 }, { age: 1, published: false }, { age: 0, published: false }, { age: 0 }]);
    const before = await seqs();
    await on.keeper({ partitionsAhead: 1 }).round();
    expect(await on.partitions()).toEqual(['outbox_default', ...[3, 1, 0, -1].map(on.nameOf)].toSorted());
    expect(await inDefault()).toBe(0);
    expect(await seqs()).toEqual(before);
    expect(await on.count('published_at IS NULL')).toBe(2);
  });

  it('of a day to come do not stand in the way of its partition', async () => {
    await on.write([{ age: -9 }]);
    expect(await inDefault()).toBe(1);
    await on.keeper({ partitionsAhead: 9 }).round();
    expect(await on.partitions()).toContain(on.nameOf(-9));
    expect(await inDefault()).toBe(0);
    expect(await on.count()).toBe(1);
  });

  it('that a relay has read are marked where they have gone', async () => {
    await dropAhead();
    await on.write([{ age: 0, published: false }]);
    await on.pool.query(`INSERT INTO outbox_relays VALUES ('me', now(), now() + interval '1 hour')`);
    await on.pool.query(`UPDATE outbox_buckets SET owner = 'me'`);
    const rows = createOutboxRows(on.pool, on.names, 'me');
    const { rows: read } = await rows.read([{ bucket: 0, topics: [], only: false }], 10, 10);
    await on.keeper().round();
    expect(await inDefault()).toBe(0);
    expect(await rows.mark(read)).toBe(1);
  });

  it('are not lost to a reader who comes while they move', async () => {
    await dropAhead();
    await on.write([{ age: 0, published: false }]);
    const holder = await on.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE outbox_default IN ACCESS SHARE MODE');
    const round = on.keeper().round();
    await on.untilWaiting(1); // the rows have moved; their partition is about to be attached
    const seen = on.count('published_at IS NULL');
    await on.untilWaiting(2);
    await holder.query('COMMIT');
    await round;
    expect(await inDefault()).toBe(0);
    expect(await seen).toBe(1);
  });

  it('that are from beyond any calendar stay where they are', async () => {
    await on.pool.query(
      `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at)
       VALUES (gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}', 'infinity')`,
    );
    await on.keeper({ partitionsAhead: 8 }).round();
    expect(await on.partitions()).toContain(on.nameOf(-8));
    expect(await inDefault()).toBe(1);
  });
});

describe('a default partition that is too large to be looked through', () => {
  it('is retired: published rows leave, the others stay, and partitions are made again', async () => {
    await dropAhead();
    await fill(movedRowsMax + 1, { age: 1 });
    await fill(movedRowsMax / 2, { published: false });
    const keeper = on.keeper();
    await keeper.round();
    expect(await on.count()).toBe(movedRowsMax / 2);
    expect(await on.count('published_at IS NULL')).toBe(movedRowsMax / 2);
    expect(await inDefault()).toBe(0);
    expect(await on.partitions()).toEqual(expect.arrayContaining([0, -1, -7].map(on.nameOf)));
    await on.write([{ age: 0 }, { age: -20 }]);
    expect(await inDefault()).toBe(1);
  });

  it('loses no row to a poll that comes meanwhile: it reads once it has the lock', async () => {
    await dropAhead();
    await fill(movedRowsMax + 1, { age: 1 });
    await fill(1, { published: false });
    await on.pool.query(`INSERT INTO outbox_relays VALUES ('me', now(), now() + interval '1 hour')`);
    await on.pool.query(`UPDATE outbox_buckets SET owner = 'me'`);
    const rows = createOutboxRows(on.pool, on.names, 'me');
    const poll = () => rows.read([{ bucket: 0, topics: [], only: false }], 10, 10);
    const holder = await on.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE outbox_default IN ACCESS SHARE MODE');
    const round = on.keeper().round();
    await on.untilWaiting(1); // it has the table, and is about to take the default partition out
    const found = poll();
    await on.untilWaiting(2);
    await holder.query('COMMIT');
    await round;
    expect((await found).rows).toHaveLength(1);
    expect(await inDefault()).toBe(0);
  });

  it('goes for good when the retention is over, found again by any relay', async () => {
    await fill(movedRowsMax + 1, { age: 20 });
    await on.passLowWater();
    await on.keeper().round();
    const retired = async () =>
      (await on.pool.query(`SELECT relname FROM pg_class WHERE relname ~ '^outbox_retired_\\d+$'`)).rowCount;
    expect(await retired()).toBe(1);
    await on.keeper().round();
    expect(await retired()).toBe(1);
    await on.pool.query(`UPDATE outbox_retired SET retired_at = retired_at - interval '3 days'`);
    await on.keeper().round();
    expect(await retired()).toBe(0);
    expect((await on.pool.query('SELECT FROM outbox_retired')).rowCount).toBe(0);
  });

  it('stays as long as too many of its rows are unpublished; partitions are made ahead all the same', async () => {
    await dropAhead();
    await fill(movedRowsMax + 1, { published: false });
    const keeper = on.keeper({ partitionsAhead: 2 });
    await keeper.round();
    expect(await inDefault()).toBe(movedRowsMax + 1);
    expect(await on.partitions()).toEqual(['outbox_default', on.nameOf(-1), on.nameOf(-2)]);
    expect(on.log.filter(({ level }) => level === 'warn')).toMatchObject([{ fields: { outcome: 'kept' } }]);
    await on.pool.query('UPDATE outbox SET published_at = now()');
    await keeper.round();
    expect(await inDefault()).toBe(0);
    expect(await on.partitions()).toContain(on.nameOf(0));
  });
});
