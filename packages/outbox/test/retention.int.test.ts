import { Registry } from '@prometheus-io/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRelay } from '../src/index.ts';
import { createPrometheusMetrics } from '../src/prometheus.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { dayMs, openPartitions, type Partitions } from './partition-fixture.ts';
import { poll } from './relay-fixture.ts';

let on: Partitions;
beforeEach(async () => {
  on = await openPartitions();
});
afterEach(() => on?.close());

describe('partitions', () => {
  it('are made ahead, of the width that is asked for, where there are none', async () => {
    await on.pool.query(`DROP TABLE ${on.nameOf(-3)}, ${on.nameOf(-4)}`);
    await on.keeper({ partitionsAhead: 3 }).round();
    const days = [0, -1, -2, -3, -5, -6, -7].map(on.nameOf).toSorted();
    expect(await on.partitions()).toEqual(['outbox_default', ...days]);
    expect(on.log).toMatchObject([{ level: 'info', message: 'relay: partition made' }]);

    await on.keeper({ partitionsAhead: 5 * 4, partitionWidthMs: dayMs / 4 }).round();
    const quarters = (await on.partitions()).filter((name) => name.startsWith(on.nameOf(-4)));
    expect(quarters).toEqual(['', 't0600', 't1200', 't1800'].map((time) => on.nameOf(-4) + time));
    await on.write([{ age: -4 }]);
    expect(await on.count(`tableoid = 'outbox_default'::regclass`)).toBe(0);
  });

  it('have indexes and settings like those that the migration made', async () => {
    const like = async (name: string) => {
      const { rows } = await on.pool.query(
        `SELECT reloptions, (SELECT array_agg(replace(indexdef, $1, 'p') ORDER BY indexdef) FROM pg_indexes
                             WHERE tablename = $1) AS indexes FROM pg_class WHERE oid = $1::regclass`,
        [name],
      );
      return rows[0];
    };
    await on.keeper({ partitionsAhead: 9 }).round();
    const [migrated, made] = [await like(on.nameOf(-7)), await like(on.nameOf(-9))];
    expect(migrated.indexes).toHaveLength(4);
    expect(made).toEqual(migrated);
  });

  it('go when they are older than the retention, whole, and no sooner', async () => {
    const [old, young] = [await on.past(4), await on.past(2)];
    await on.write([{ age: 4 }, { age: 2 }]);
    await on.passLowWater();
    await on.keeper().round();
    expect(await on.partitions()).not.toContain(old);
    expect(await on.partitions()).toContain(young);
    expect(await on.count()).toBe(1);
    const dropped = on.log.filter(({ message }) => message === 'relay: partition dropped');
    expect(dropped).toMatchObject([{ level: 'info', fields: { partition: `public.${old}` } }]);
  });

  it('are counted when they are made, dropped, and put off', async () => {
    const [old, kept] = [await on.past(5), await on.past(4)];
    await on.pool.query(`DROP TABLE ${on.nameOf(-1)}, ${on.nameOf(-2)}`);
    await on.write([{ age: 4, published: false }]);
    await on.passLowWater();
    const registry = new Registry();
    await on.keeper({ metrics: createPrometheusMetrics({ registry }) }).round();
    expect(await on.partitions()).toContain(kept);
    expect(await on.partitions()).not.toContain(old);
    const value = async (name: string) =>
      (await registry.getSingleMetric(`outbox_relay_partitions_${name}_total`)?.get())?.values[0]?.value;
    expect([await value('made'), await value('dropped'), await value('put_off')]).toEqual([2, 1, 1]);
  });

  it('stay for ever without a retention', async () => {
    const old = await on.past(400);
    await on.passLowWater();
    await on.keeper({ retentionMs: Infinity }).round();
    expect(await on.partitions()).toContain(old);
  });

  it.each([
    ['an unpublished row', { published: false }, 'has unpublished rows'],
    ['a held row', { published: false, held: true }, 'has held rows'],
  ])('stay as long as %s is in them, and are dropped after that', async (_, row, reason) => {
    const [kept, old] = [await on.past(5), await on.past(4)];
    await on.write([{ age: 5, ...row }, { age: 4 }]);
    await on.passLowWater();
    const keeper = on.keeper();
    await keeper.round();
    await keeper.round();
    expect(await on.partitions()).toContain(kept);
    expect(await on.partitions()).not.toContain(old);
    const said = on.log.filter(({ level }) => level === 'warn');
    expect(said).toMatchObject([{ fields: { partition: `public.${kept}`, reason } }]); // once
    await on.pool.query('UPDATE outbox SET published_at = now() WHERE published_at IS NULL');
    await keeper.round();
    expect(await on.partitions()).not.toContain(kept);
  });

  it("stay until every bucket's low-water mark has passed them", async () => {
    const [kept, old] = [await on.past(4), await on.past(5)];
    await on.write([{ age: 5 }]);
    await on.passLowWater();
    await on.write([{ age: 4 }]);
    await on.pool.query(
      'UPDATE outbox_buckets SET low_seq = (SELECT last_value + 1 FROM outbox_seq) WHERE bucket < 63',
    );
    await on.keeper().round();
    expect(await on.partitions()).toContain(kept);
    expect(await on.partitions()).not.toContain(old);
    await on.passLowWater();
    await on.keeper().round();
    expect(await on.partitions()).not.toContain(kept);
  });
});

describe('a writer', () => {
  it('that commits between the look and the lock loses nothing: the look comes after the lock', async () => {
    const old = await on.past(4);
    await on.passLowWater();
    const writer = await on.connect();
    await writer.query('BEGIN');
    await on.write([{ age: 4, published: false }], writer);
    await writer.query('UPDATE outbox_buckets SET low_seq = (SELECT last_value + 1 FROM outbox_seq)');
    const round = on.keeper().round();
    await on.untilWaiting(1);
    await writer.query('COMMIT');
    await round;
    expect(await on.partitions()).toContain(old);
    expect(await on.count('published_at IS NULL')).toBe(1);
  });

  it('that is in the partition keeps it, and is waited for only briefly', async () => {
    const old = await on.past(4);
    await on.passLowWater();
    const writer = await on.connect();
    await writer.query('BEGIN');
    await on.write([{ age: 4 }], writer);
    await on.keeper({ isBrief: true }).round(); // ends while the writer is still open
    await writer.query('COMMIT');
    expect(await on.partitions()).toContain(old);
    expect(await on.count()).toBe(1);
    expect(on.log).toMatchObject([{ level: 'warn', fields: { outcome: 'busy' } }]);
  });

  it('is not kept waiting by a partition that cannot be dropped because somebody reads', async () => {
    const [old, alike] = [await on.past(5), await on.past(4)];
    await on.passLowWater();
    const reader = await on.connect();
    await reader.query('BEGIN');
    await reader.query('SELECT count(*) FROM outbox');
    const writer = await on.connect();
    await writer.query(`SET lock_timeout = '1s'`); // behind whoever waits for the reader it would wait for ever
    let written = 0;
    for (let n = 0; n < 3; n += 1) {
      let isOver = false;
      const round = on.keeper({ isBrief: true }).round();
      void round.finally(() => {
        isOver = true;
      });
      for (; !isOver; written += 1) {
        await expect(on.write([{ age: 0 }], writer)).resolves.toBeUndefined();
      }
      await round;
    }
    await reader.query('COMMIT');
    expect(await on.partitions()).toEqual(expect.arrayContaining([old, alike]));
    await on.keeper().round();
    expect(await on.partitions()).not.toContain(old);
    expect(await on.count()).toBe(written);
  });
});

describe('relays', () => {
  it('take turns: one of them does the round of an interval', async () => {
    await on.pool.query(`DROP TABLE ${on.nameOf(-1)}`);
    const keepers = ['one', 'two', 'three'].map((relayId) => on.keeper({ relayId }));
    await Promise.all(keepers.map((keeper) => keeper.step()));
    expect(on.log).toHaveLength(1);
    await on.pool.query(`DROP TABLE ${on.nameOf(-1)}`);
    await Promise.all(keepers.map((keeper) => keeper.step()));
    expect(await on.partitions()).not.toContain(on.nameOf(-1)); // not this minute
    await on.pool.query('UPDATE outbox_maintenance SET next_at = now()');
    await Promise.all(keepers.map((keeper) => keeper.step()));
    expect(await on.partitions()).toContain(on.nameOf(-1));
  });

  it('that do it at the same time all the same do not harm each other', async () => {
    for (const age of [9, 8, 7, 6, 5, 4]) await on.past(age);
    await on.pool.query(`DROP TABLE ${on.nameOf(-1)}, ${on.nameOf(-2)}`);
    await on.write([{ age: 6, published: false }]);
    await on.passLowWater();
    const keepers = Array.from({ length: 3 }, () => on.keeper());
    await Promise.all(keepers.map((keeper) => keeper.round()));
    expect(await on.partitions()).toEqual(
      ['outbox_default', on.nameOf(6), ...[0, -1, -2, -3, -4, -5, -6, -7].map(on.nameOf)].toSorted(),
    );
    expect(await on.count()).toBe(1);
  });

  it('do it by themselves, after what they have published', async () => {
    const old = await on.past(4);
    await on.write([{ age: 4, published: false }]);
    const broker = createMemoryBroker();
    broker.createTopic('t');
    await broker.publisher.connect();
    const relay = createRelay(
      { pool: on.pool, publisher: broker.publisher, logger: on.logger },
      { retentionMs: 2 * dayMs, partitionIntervalMs: 50, lowWaterIntervalMs: 20 },
    );
    await relay.start();
    await expect.poll(on.partitions, poll).not.toContain(old);
    await relay.stop();
    expect(broker.read('t')).toHaveLength(1);
    expect(on.log.filter(({ message }) => message === 'relay: partition dropped')).toHaveLength(1);
  });
});
