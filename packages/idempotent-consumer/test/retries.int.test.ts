import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimHeads, lockClaimed, settleClaimed } from '../src/retries/scheduled-events.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { query } from './flavours.ts';
import { type CountEvent, countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const db = useDatabase();
const start = useMemoryConsumers(db);
const hourMs = 3_600_000;
const claiming = { countMax: 10, suspectsMax: 1, leaseMs: 60_000, onDeadLetter: 'block-key' } as const;

/** Rows as accepting would store them: `events` per key, all due. */
const store = (consumerName: string, keys: number, events: number) =>
  db().pool.query(
    `INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", headers, state, attempts, next_at)
     SELECT $1, 'e' || k || '-' || n, 'key:k' || k, 't', 0, n, convert_to('[]', 'UTF8'), 'DUE', 0, now()
     FROM generate_series(1, $3::int) AS n, generate_series(1, $2::int) AS k ORDER BY n, k`,
    [consumerName, keys, events],
  );

describe('retries', () => {
  it('are one at a time per key and many keys at once, up to retriesInParallelMax', async () => {
    const name = uniqueName('parallel');
    const spans: { key: string; from: number; to: number }[] = [];
    let isBroken = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      if (isBroken) throw new Error('not yet');
      const from = performance.now();
      await sleep(60);
      await countUp(tx, event);
      spans.push({ key: event.name, from, to: performance.now() });
    };
    const killSwitch = { failuresMin: 1_000 };
    const { source } = await start({
      handle,
      retriesInParallelMax: 3,
      retry: { attemptsMax: 1_000 },
      killSwitch,
    });
    const keys = [0, 1, 2, 3, 4].map((i) => `${name}-${i}`);
    await source.deliver([0, 1, 2, 3].flatMap((n) => keys.map((key) => counting(`${key}/${n}`, key))));
    isBroken = false;
    await expect.poll(() => spans.length, soon).toBe(20);
    const at = (moment: number) => spans.filter(({ from, to }) => from <= moment && moment < to);
    const most = Math.max(...spans.map(({ from }) => at(from).length));
    expect(most).toBe(3);
    for (const { from } of spans) {
      const running = at(from).map(({ key }) => key);
      expect(new Set(running).size).toBe(running.length);
    }
  });

  it('come later and later, with full jitter', async () => {
    const name = uniqueName('backoff');
    const { source, consumerName } = await start({
      handle: () => Promise.reject(new Error('never')),
      retry: { attemptsMax: 1_000, baseMs: 1_000 * hourMs, maxMs: 4_000 * hourMs },
      retriesInParallelMax: 6,
      killSwitch: { failuresMin: 1_000_000 },
    });
    await source.deliver(Array.from({ length: 60 }, (_, i) => counting(`${name}-${i}`, `${name}-${i}`)));
    const delays = async () =>
      (
        await db().pool.query(
          `SELECT extract(epoch FROM next_at - clock_timestamp())::float8 / 3600000 AS hours, attempts FROM scheduled_events WHERE worker_id = $1`,
          [consumerName],
        )
      ).rows as { hours: number; attempts: number }[];
    for (const [attempts, hoursMax] of [
      [1, 1],
      [2, 2],
      [3, 4],
      [4, 4],
    ] as const) {
      await expect
        .poll(async () => new Set((await delays()).map((one) => one.attempts)), soon)
        .toEqual(new Set([attempts]));
      const hours = (await delays()).map((one) => one.hours);
      expect(Math.max(...hours)).toBeLessThanOrEqual(hoursMax);
      // Full jitter: somewhere in the whole of it.
      expect(Math.max(...hours)).toBeGreaterThan(hoursMax * 0.8);
      expect(Math.min(...hours)).toBeLessThan(hoursMax * 0.2);
      await db().pool.query('UPDATE scheduled_events SET next_at = now() WHERE worker_id = $1', [
        consumerName,
      ]);
    }
  });

  it('a row stored behind a head that finishes meanwhile has its turn', async () => {
    const name = uniqueName('race');
    await store(name, 1, 1);
    const [head] = await db().transaction((tx) => claimHeads(tx, name, claiming));
    if (head === undefined) throw new Error('no head');
    const other = await db().pool.connect();
    try {
      // It saw the head unfinished, and stores behind it; the head finishes; only then it commits.
      await other.query('BEGIN');
      await other.query(
        `INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", headers, state, attempts, next_at)
         VALUES ($1, 'behind', 'key:k1', 't', 0, 9, convert_to('[]', 'UTF8'), 'DUE', 0, clock_timestamp())`,
        [name],
      );
      await db().transaction(async (tx) => {
        await lockClaimed(tx, head, 10_000);
        await settleClaimed(tx, head, { state: 'DONE' });
      });
      expect(await db().transaction((tx) => claimHeads(tx, name, claiming))).toEqual([]);
      await other.query('COMMIT');
    } finally {
      other.release();
    }
    const claimed = await db().transaction((tx) => claimHeads(tx, name, claiming));
    expect(claimed.map(({ eventId }) => eventId)).toEqual(['behind']);
  });

  it('an event redelivered while another member stores one of its key waits behind that', async () => {
    const name = uniqueName('zombie');
    let isFirst = true;
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const handled: string[] = [];
    const handle = async (
      _: Tx,
      event: CountEvent,
      { afterCommit }: { afterCommit(done: () => void): void },
    ) => {
      afterCommit(() => handled.push(event.id));
      if (!event.id.endsWith('-1')) return;
      if (isFirst) await held;
      isFirst = false;
      throw new Error('fails');
    };
    const retry = { baseMs: 3_600_000, maxMs: 3_600_000 };
    const first = await start({ handle, retry });
    const second = await start({ handle, retry, consumerName: first.consumerName });
    const records = [1, 2, 3].map((n) => counting(`${name}-${n}`, name));
    // The first has the chunk still when the second is given it, and one more: it waits for the inbox row of 1.
    const zombie = first.source.deliver(records.slice(0, 2));
    await expect.poll(async () => (await activity('idle in transaction')) > 0, soon).toBe(true);
    const redelivered = second.source.deliver(records);
    await expect.poll(() => waiting(), soon).toBeGreaterThan(0);
    goOn();
    await Promise.all([zombie, redelivered]);
    expect((await db().scheduled(first.consumerName)).map(({ event_id }) => event_id)).toEqual(
      records.map((_, i) => `${name}-${i + 1}`),
    );
    expect(handled).toEqual([]);
  });

  it('two members of one consumer never run one stored event at the same time, nor twice', async () => {
    const name = uniqueName('members');
    let isBroken = true;
    const running = new Set<string>();
    const overlaps: string[] = [];
    const handle = async (tx: Tx, event: CountEvent) => {
      if (isBroken) throw new Error('not yet');
      if (running.has(event.name)) overlaps.push(event.name);
      running.add(event.name);
      await countUp(tx, event);
      await sleep(5);
      running.delete(event.name);
    };
    const given = {
      handle,
      retry: { attemptsMax: 1_000 },
      killSwitch: { failuresMin: 1_000_000 },
      retriesInParallelMax: 4,
    };
    const { source, consumerName } = await start(given);
    await start({ ...given, consumerName });
    const keys = Array.from({ length: 20 }, (_, i) => `${name}-${i}`);
    await source.deliver([0, 1, 2, 3, 4].flatMap((n) => keys.map((key) => counting(`${key}/${n}`, key))));
    isBroken = false;
    await expect
      .poll(
        async () => (await db().scheduled(consumerName)).filter(({ state }) => state === 'DONE').length,
        soon,
      )
      .toBe(100);
    expect(await Promise.all(keys.map((key) => db().counted(key)))).toEqual(keys.map(() => 5));
    expect(overlaps).toEqual([]);
  });

  it('a claim whose lease has ended and that another has taken writes nothing any more', async () => {
    const name = uniqueName('fenced');
    await store(name, 1, 1);
    const claimOnce = () => db().transaction((tx) => claimHeads(tx, name, { ...claiming, leaseMs: 1 }));
    const [zombie] = await claimOnce();
    await sleep(10);
    const [owner] = await claimOnce();
    if (zombie === undefined || owner === undefined) throw new Error('not claimed');
    expect(owner).toMatchObject({ seq: zombie.seq, claims: zombie.claims + 1, starts: 2 });
    expect(await db().transaction((tx) => lockClaimed(tx, zombie, 1_000))).toMatchObject({ isMine: false });
    await db().transaction((tx) =>
      settleClaimed(tx, zombie, { state: 'DEAD', attempts: 9, reason: 'zombie' }),
    );
    expect(await db().scheduled(name)).toMatchObject([{ state: 'DUE', attempts: 0, reason: null }]);
    expect(await db().transaction((tx) => lockClaimed(tx, owner, 1_000))).toMatchObject({ isMine: true });
  });

  it('a member that froze between its claim and its try does not run what another has run meanwhile', async () => {
    const name = uniqueName('frozen');
    let isBroken = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      if (isBroken) throw new Error('not yet');
      await countUp(tx, event);
    };
    let thaw = () => {};
    const frozen = new Promise<void>((resolve) => {
      thaw = resolve;
    });
    let hasClaimed = false;
    // Its next transaction after the claim waits, as if the process were stopped.
    const transaction = async <R>(work: (tx: Tx) => Promise<R>): Promise<R> => {
      if (hasClaimed) await frozen;
      return db().transaction(work);
    };
    const deps = {
      crashPoint: (point: string) => {
        if (point === 'consumer.retry.claimed') hasClaimed = true;
      },
    };
    const retry = { baseMs: 1, maxMs: 1, attemptsMax: 1_000 };
    const storing = await start({ handle, retry: { ...retry, baseMs: 3_600_000, maxMs: 3_600_000 } });
    await storing.source.deliver([counting(`${name}-1`, name)]);
    await storing.consumer.stop();
    await db().pool.query('UPDATE scheduled_events SET next_at = now() WHERE worker_id = $1', [
      storing.consumerName,
    ]);
    isBroken = false;
    const { consumerName } = storing;
    const zombie = await start({ handle, retry, consumerName, transaction, deps });
    await expect.poll(() => hasClaimed, soon).toBe(true);
    await db().pool.query('UPDATE scheduled_events SET lease_until = now() WHERE worker_id = $1', [
      consumerName,
    ]);
    await start({ handle, retry, consumerName });
    await expect.poll(() => db().counted(name), soon).toBe(1);
    thaw();
    await zombie.consumer.stop();
    expect(await db().counted(name)).toBe(1);
    expect(zombie.consumer.counts().handled).toBe(0);
  });
});

const activity = async (state: string) =>
  Number(
    (
      await db().pool.query(
        `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'consumer-under-test' AND datname = current_database() AND state = $1`,
        [state],
      )
    ).rows[0].count,
  );
const waiting = async () =>
  Number(
    (
      await db().pool.query(
        `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`,
      )
    ).rows[0].count,
  );

describe('any course of failures, restarts and members', () => {
  it('every effect happens once, and in order per key', { timeout: 120_000 }, async () => {
    await db().pool.query('CREATE TABLE IF NOT EXISTS log (id bigserial, run text, key text, n int)');
    const course = fc.record({
      keys: fc.integer({ min: 1, max: 6 }),
      chunks: fc.array(fc.array(fc.nat(5), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 }),
      failures: fc.array(fc.nat(9), { minLength: 5, maxLength: 40 }),
      restartsAfter: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      isRedelivered: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      isBatch: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(course, async ({ keys, chunks, failures, restartsAfter, isRedelivered, isBatch }) => {
        const run = uniqueName('course');
        let tried = 0;
        const one = async (tx: Tx, { name }: CountEvent) => {
          const [key, n] = name.split('/');
          await query(tx, 'INSERT INTO log (run, key, n) VALUES ($1, $2, $3)', [run, key, n]);
          if ((failures[tried++ % failures.length] as number) < 4) throw new Error(`try ${tried} fails`);
        };
        const all = async (tx: Tx, events: CountEvent[]) => {
          for (const event of events) await one(tx, event);
        };
        const given = {
          ...(isBatch ? { handleBatch: all } : { handle: one }),
          retry: { baseMs: 2, maxMs: 5, attemptsMax: 10_000 },
          pollIntervalMs: 5,
          killSwitch: { failuresMin: 1_000_000 },
          consumerName: run,
        };
        const next = Array.from({ length: keys }, () => 0);
        const lane = chunks.map((chunk) =>
          chunk.map((k) => {
            const n = next[k % keys] ?? 0;
            next[k % keys] = n + 1;
            return { id: `${run}-${k % keys}-${n}`, key: `k${k % keys}`, n };
          }),
        );
        let offset = 0;
        let members = [await start(given), await start(given)];
        for (const [i, chunk] of lane.entries()) {
          const records = chunk.map(({ id, key, n }) => ({
            ...counting(id, `${key}/${n}`, key),
            offset: String(offset++),
          }));
          await members[i % 2]?.source.deliver(records);
          if (isRedelivered[i]) await members[(i + 1) % 2]?.source.deliver(records);
          if (!restartsAfter[i]) continue;
          await Promise.all(members.map(({ consumer }) => consumer.stop()));
          members = [await start({ ...given, source: memorySource() }), await start(given)];
        }
        const total = chunks.flat().length;
        const done = async () =>
          (await db().pool.query('SELECT key, n FROM log WHERE run = $1 ORDER BY id', [run])).rows;
        await expect.poll(async () => (await done()).length, soon).toBe(total);
        await Promise.all(members.map(({ consumer }) => consumer.stop()));
        const effects = await done();
        expect(effects).toHaveLength(total);
        for (let k = 0; k < keys; k++)
          expect(effects.filter(({ key }) => key === `k${k}`).map(({ n }) => n)).toEqual(
            Array.from({ length: next[k] as number }, (_, n) => n),
          );
      }),
      { numRuns: 8, seed: 20261128 },
    );
  });
});
