import { Registry } from '@prometheus-io/client';
import { describe, expect, it } from 'vitest';
import type { RunTransaction } from '../src/index.ts';
import { reportStatus } from '../src/operation/status-loop.ts';
import { createPrometheusMetrics } from '../src/prometheus.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const by = { actor: 'ada', reason: 'the database is moved' };
const minutesAgo = (minutes: number) => Date.now() - minutes * 60_000;

describe('status()', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it('without lag it is 0 behind, in records and in time, whatever the age of what was handled', async () => {
    const { consumer, source, consumerName } = await start({ handle: countUp });
    expect(await consumer.status()).toMatchObject({ lagRecords: 0, lagMs: 0, oldestNotAccepted: null });
    await source.deliver([{ ...counting(uniqueName('old'), 'old'), timestampMs: minutesAgo(60) }]);
    expect(await consumer.status()).toMatchObject({
      consumerName,
      groupId: source.groupId,
      isHealthy: true,
      lagRecords: 0,
      lagMs: 0,
      partitions: [{ topic: 'memory', partition: 0, committed: '1', end: '1', lagRecords: 0 }],
      oldestNotAccepted: null,
      isPaused: false,
      killSwitch: null,
      stoppedBy: null,
      counts: { handled: 1, duplicates: 0 },
      stored: { scheduled: { count: 0 }, dead: { count: 0 }, blockedKeys: { count: 0 }, paused: null },
      problems: [],
    });
  });

  it('a record in hand tells how far behind it is; with none in hand, the last one that was accepted does', async () => {
    let isHeld = true;
    const { consumer, source } = await start({
      handle: async (tx: Tx, event) => {
        if (isHeld) throw Object.assign(new Error('no connection'), { code: 'ECONNREFUSED' });
        await countUp(tx, event);
      },
      // An error that is taken for the infrastructure's: the chunk stays in hand.
      transaction: holdWhile(() => isHeld),
    });
    const name = uniqueName('held');
    const delivered = source.deliver([
      { ...counting(`${name}-1`, name), timestampMs: minutesAgo(10) },
      { ...counting(`${name}-2`, name), timestampMs: minutesAgo(5) },
    ]);
    await expect.poll(() => consumer.status(), soon).toMatchObject({ lagRecords: 2, stored: null });
    const held = await consumer.status();
    expect(held.oldestNotAccepted).toMatchObject({ topic: 'memory', partition: 0, offset: '0' });
    expect(held.oldestNotAccepted?.ageMs).toBeCloseTo(600_000, -4);
    expect(held.lagMs).toBeCloseTo(600_000, -4);
    expect(held.problems).toMatchObject([{ of: 'database', error: { message: 'the database is away' } }]);
    isHeld = false;
    await delivered;
    expect(await consumer.status()).toMatchObject({ lagRecords: 0, lagMs: 0, problems: [] });
    source.append(3);
    const behind = await consumer.status();
    expect(behind).toMatchObject({ lagRecords: 3, oldestNotAccepted: null });
    expect(behind.lagMs).toBeCloseTo(300_000, -4);
  });

  it('an event that is being tried again was accepted before: it is no lag', async () => {
    const secondTry = Promise.withResolvers<void>();
    const { consumer, source } = await start({
      handle: async (_, __, { attempt }) => {
        if (attempt === 1) throw new Error('not yet');
        await secondTry.promise;
      },
    });
    const name = uniqueName('again');
    await source.deliver([{ ...counting(`${name}-1`, name), timestampMs: minutesAgo(10) }]);
    const isBeingTried = async () =>
      (
        await db().pool.query(
          `SELECT FROM scheduled_events WHERE ordering_key = $1 AND lease_until IS NOT NULL`,
          [`key:${name}`],
        )
      ).rowCount;
    await expect.poll(isBeingTried, soon).toBe(1);
    expect(await consumer.status()).toMatchObject({
      lagMs: 0,
      oldestNotAccepted: null,
      stored: { scheduled: { count: 1 } },
    });
    secondTry.resolve();
    await expect.poll(() => consumer.counts().handled, soon).toBe(1);
  });

  it('while the broker does not answer it says so, and the rest nevertheless', async () => {
    const source = { ...memorySource(), positions: () => Promise.reject(new Error('no broker')) };
    const { consumer } = await start({ handle: countUp, source });
    expect(await consumer.status()).toMatchObject({
      lagRecords: null,
      lagMs: null,
      partitions: [],
      stored: { dead: { count: 0 } },
      problems: [{ of: 'broker', error: { message: 'no broker' } }],
    });
  });

  it('an open kill switch says since when and why; blocked keys, scheduled and dead are those of the database', async () => {
    let isBroken = false;
    const { consumer, source } = await start({
      handle: async (tx: Tx, event) => {
        if (isBroken || event.name === 'bad') throw new TypeError(`cannot read ${event.id}`);
        await countUp(tx, event);
      },
      retry: { attemptsMax: 1 },
      killSwitch: { failuresMin: 5, keysMin: 5, retryBaseMs: 50, retryMaxMs: 100 },
    });
    const name = uniqueName('switch');
    await source.deliver([counting(`${name}-bad-1`, 'bad'), counting(`${name}-bad-2`, 'bad')]);
    expect((await consumer.status()).stored).toMatchObject({
      scheduled: { count: 1 },
      dead: { count: 1 },
      blockedKeys: { count: 1, oldest: [{ orderingKey: 'key:bad', state: 'DEAD', waiting: 1 }] },
    });
    isBroken = true;
    const delivered = source.deliver(
      Array.from({ length: 10 }, (_, i) => counting(`${name}-${i}`, `${name}-${i}`)),
    );
    await expect
      .poll(async () => (await consumer.status()).killSwitch, soon)
      .toMatchObject({ since: expect.any(Date), error: { code: 'CONSUMER_KILL_SWITCH' } });
    expect(await consumer.status()).toMatchObject({ isHealthy: false, counts: { killSwitchOpened: 1 } });
    isBroken = false;
    await delivered;
    expect(await consumer.status()).toMatchObject({ isHealthy: true, killSwitch: null });
  });

  it('pause() holds for all members and those that start later, resume() lets them go on; both are audited', async () => {
    const consumerName = uniqueName('paused');
    const members = [
      await start({ handle: countUp, consumerName }),
      await start({ handle: countUp, consumerName }),
    ];
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    await first.consumer.pause(by);
    expect(await first.consumer.status()).toMatchObject({
      isPaused: true,
      isHealthy: true,
      stored: { paused: by },
    });
    await expect.poll(async () => (await second.consumer.status()).isPaused, soon).toBe(true);
    const third = await start({ handle: countUp, consumerName });
    await expect.poll(async () => (await third.consumer.status()).isPaused, soon).toBe(true);
    const all = [...members, third];
    const name = uniqueName('while-paused');
    const delivered = all.map(({ source }, i) => source.deliver([counting(`${name}-${i}`, name)]));
    for (const { consumer } of all)
      await expect
        .poll(async () => (await consumer.status()).oldestNotAccepted, soon)
        .toMatchObject({ offset: '0' });
    expect(await db().counted(name)).toBe(0);
    await second.consumer.resume({ actor: 'ben', reason: 'it is moved' });
    await Promise.all(delivered);
    expect(await db().counted(name)).toBe(3);
    expect(await first.consumer.status()).toMatchObject({ isPaused: false, stored: { paused: null } });
    const { rows } = await db().pool.query(
      'SELECT action, actor, reason FROM consumer_audit WHERE worker_id = $1 ORDER BY id',
      [consumerName],
    );
    expect(rows).toEqual([
      { action: 'pause', ...by },
      { action: 'resume', actor: 'ben', reason: 'it is moved' },
    ]);
  });

  it('through @prometheus-io/client it measures what it handles, stores and waits for, without labels', async () => {
    const registry = new Registry();
    const metrics = createPrometheusMetrics({ registry });
    const { source, consumer } = await start({
      handle: async (tx: Tx, event) => {
        if (event.name === 'bad') throw new Error('bad');
        await countUp(tx, event);
      },
      retry: { attemptsMax: 1 },
      deps: { metrics },
    });
    const name = uniqueName('metrics');
    const good = counting(`${name}-1`, name);
    await source.deliver([good, good, { value: 'x', headers: { type: Buffer.from('other') } }]);
    await source.deliver([counting(`${name}-2`, 'bad'), counting(`${name}-3`, 'bad'), {}]);
    const text = await registry.metrics();
    const value = (metric: string) =>
      Number(new RegExp(`^idempotent_consumer_${metric} (.*)$`, 'm').exec(text)?.[1]);
    expect({
      handled: value('handled_total'),
      duplicates: value('duplicates_total'),
      skipped: value('skipped_total'),
      scheduled: value('scheduled_total'),
      deadLetters: value('dead_letters_total'),
      chunks: value('accept_seconds_count'),
    }).toEqual({ handled: 1, duplicates: 1, skipped: 1, scheduled: 2, deadLetters: 2, chunks: 2 });
    expect(consumer.counts()).toMatchObject({
      handled: 1,
      duplicates: 1,
      skipped: 1,
      scheduled: 2,
      deadLetters: 2,
    });
    const labels = text.match(/\{[^}]*\}/g) ?? [];
    expect(new Set(labels.map((one) => one.replace(/le="[^"]*"/, '')))).toEqual(new Set(['{}']));
  });

  it('its gauges follow the status: lag, blocked keys, what waits, and what keeps it', async () => {
    const { source, consumer } = await start({
      handle: () => {
        throw new Error('bad');
      },
      retry: { attemptsMax: 1 },
    });
    const registry = new Registry();
    const stop = new AbortController();
    const metrics = createPrometheusMetrics({ registry, prefix: 'billing_' });
    const reporting = reportStatus(metrics, consumer.status, { stop: stop.signal, intervalMs: 20 });
    const value = async (gauge: string) =>
      Number(new RegExp(`^billing_${gauge} (.*)$`, 'm').exec(await registry.metrics())?.[1]);
    const name = uniqueName('gauges');
    await source.deliver([
      counting(`${name}-1`, name),
      { ...counting(`${name}-2`, name), timestampMs: minutesAgo(2) },
    ]);
    await expect.poll(() => value('blocked_keys'), soon).toBe(1);
    expect([await value('dead_letters_waiting'), await value('scheduled_waiting')]).toEqual([1, 1]);
    expect([await value('lag_records'), await value('lag_seconds'), await value('paused')]).toEqual([
      0, 0, 0,
    ]);
    source.append(2);
    await expect.poll(() => value('lag_records'), soon).toBe(2);
    expect(await value('lag_seconds')).toBeCloseTo(120, -1);
    await consumer.pause(by);
    await expect.poll(() => value('paused'), soon).toBe(1);
    const delivered = source.deliver([{ ...counting(`${name}-3`, name), timestampMs: minutesAgo(1) }]);
    await expect.poll(() => value('oldest_not_accepted_seconds'), soon).toBeGreaterThan(59);
    await consumer.resume(by);
    await delivered;
    stop.abort();
    await reporting;
  });

  const holdWhile =
    (isAway: () => boolean): RunTransaction<Tx> =>
    async (work) => {
      if (isAway()) throw Object.assign(new Error('the database is away'), { code: 'ECONNREFUSED' });
      return db().transaction(work);
    };
});
