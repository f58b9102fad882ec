import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { movedRowsMax } from '../src/relay/default-partition.ts';
import { openPartitions, type Partitions } from './partition-fixture.ts';

let on: Partitions;
beforeEach(async () => {
  on = await openPartitions();
  // Something to do of each kind, and a row each that must not be lost.
  await on.past(5);
  await on.past(4);
  await on.pool.query(`DROP TABLE ${on.nameOf(0)}, ${on.nameOf(-1)}`);
  await on.write([{ age: 5 }, { age: 4, published: false }, { age: 0, published: false }]);
  await on.passLowWater();
});
afterEach(() => on?.close());

const fillDefault = () =>
  on.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, published_at)
     SELECT gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}', now() FROM generate_series(1, $1)`,
    [movedRowsMax],
  );

/** Everything that a round has to do is done, and what must not be lost is there. */
async function expectDone(): Promise<void> {
  const partitions = await on.partitions();
  expect(partitions).toEqual(expect.arrayContaining([4, 0, -1].map(on.nameOf)));
  expect(partitions).not.toContain(on.nameOf(5));
  expect(await on.count('published_at IS NULL')).toBe(2);
  const { rows } = await on.pool.query(
    `SELECT relname FROM pg_class c WHERE relkind = 'r' AND relname ~ '^outbox_(p\\d|default)'
       AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)`,
  );
  expect(rows).toEqual([]); // no partition that is none
}

describe('a relay that dies', () => {
  it.each([
    'relay.partition.create.before',
    'relay.partition.create.after',
    'relay.partition.drop.before',
    'relay.partition.drop.after',
    'relay.partition.retire.before',
    'relay.partition.retire.after',
  ])('at %s leaves nothing undone that the next does not do', async (point) => {
    if (point.includes('retire')) await fillDefault();
    const dies = on.keeper({
      crashPoint: (reached) => {
        if (reached === point) throw new Error(point);
      },
    });
    await expect(dies.round()).rejects.toThrow(point);
    expect(await on.count('published_at IS NULL')).toBe(2);
    await on.keeper().round();
    await expectDone();
  });

  it.each([
    ['makes a partition', 'outbox_default', false],
    ['retires the default partition', 'outbox', true],
    ['waits for the partition that it would drop', 5, false],
  ])('or loses its connection while it %s leaves what was there', async (_, held, full) => {
    if (full) await fillDefault();
    const table = typeof held === 'number' ? on.nameOf(held) : held;
    const before = await on.partitions();
    const holder = await on.connect();
    await holder.query('BEGIN');
    await holder.query(`LOCK TABLE ONLY ${table} IN ROW EXCLUSIVE MODE`);
    const dies = expect(on.keeper().round()).rejects.toThrow();
    const [pid] = await on.untilWaiting(1);
    await on.pool.query('SELECT pg_terminate_backend($1)', [pid]);
    await dies;
    await holder.query('COMMIT');
    if (table !== on.nameOf(5)) expect(await on.partitions()).toEqual(before);
    expect(await on.count('published_at IS NULL')).toBe(2);
    await on.keeper().round();
    await expectDone();
  });
});
