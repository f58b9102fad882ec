import { beforeAll, describe, expect, it } from 'vitest';
import { overrideKillSwitch } from '../src/index.ts';
import { type MemoryRecord, type MemorySource, memorySource } from '../src/testing/memory-source.ts';
import { query } from './flavours.ts';
import { type CountEvent, type decodeCount, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const db = useDatabase();
const start = useMemoryConsumers(db);
const topic = 'events';
const short = { retryBaseMs: 30, retryMaxMs: 200 };
const long = { timeout: 120_000 };

beforeAll(async () => {
  await db().pool.query('CREATE TABLE effects (id bigserial, run text, key text, n int)');
  await db().pool.query('CREATE INDEX ON effects (run)');
});

/** An event's value is `<key>/<n>`, n counting the events of its key; keys stay in one partition. */
function eventsOf(
  run: string,
  { events, keys, partitions }: { events: number; keys: number; partitions: number },
) {
  const lanes = Array.from({ length: partitions }, (): MemoryRecord[] => []);
  for (let i = 0; i < events; i++) {
    const key = `k${i % keys}`;
    const lane = lanes[(i % keys) % partitions] as MemoryRecord[];
    const offset = String(lane.length);
    lane.push({
      ...counting(`${run}-${i}`, `${key}/${Math.floor(i / keys)}`, key),
      topic,
      partition: (i % keys) % partitions,
      offset,
    });
  }
  return lanes;
}

/** Delivers what is not committed yet, in chunks; resolves when all is dealt with. */
const deliverAll = (
  source: MemorySource,
  lanes: MemoryRecord[][],
  chunkSize: number,
  from: MemorySource = source,
) =>
  Promise.all(
    lanes.map(async (lane, partition) => {
      for (let at = Number(from.committed(topic, partition) ?? 0); at < lane.length; at += chunkSize)
        if ((await source.deliver(lane.slice(at, at + chunkSize)))[0] === 'abandoned') return;
    }),
  );

const write =
  (run: string) =>
  async (tx: Tx, { name }: CountEvent) => {
    const [key, n] = name.split('/');
    await query(tx, 'INSERT INTO effects (run, key, n) VALUES ($1, $2, $3)', [run, key, n]);
  };

/** Keys whose events were not all handled, once each and in order. */
async function outOfOrder(run: string) {
  const { rows } = await db().pool.query(
    `SELECT key, array_agg(n ORDER BY id) AS ns FROM effects WHERE run = $1 GROUP BY key`,
    [run],
  );
  return rows.filter(({ ns }) => ns.some((n: number, i: number) => n !== i)).map(({ key }) => key);
}

const count = async (sql: string, values: unknown[]): Promise<number> =>
  Number((await db().pool.query(`SELECT count(*) FROM ${sql}`, values)).rows[0].count);
const effects = (run: string) => count('effects WHERE run = $1', [run]);

/** Faults of a release: none of them is the fault of any event. */
const faults: Record<
  string,
  { decode?: typeof decodeCount; handle?: (tx: Tx, event: CountEvent) => Promise<unknown> }
> = {
  TypeError: { handle: async () => (undefined as unknown as { x: () => void }).x() },
  'a missing column': { handle: (tx) => query(tx, 'UPDATE effects SET no_such_column = 1') },
  'a missing right': {
    handle: async (tx) => {
      await query(tx, 'SET LOCAL ROLE pg_monitor');
      await query(tx, 'DELETE FROM effects');
    },
  },
  'a decoder that finds everything invalid': {
    decode: () => ({ kind: 'invalid', reason: 'unknown version' }),
  },
};

describe('kill switch', () => {
  const cases = [
    ['TypeError', 1],
    ['TypeError', 20],
    ['TypeError', 500],
    ['a missing column', 500],
    ['a missing right', 20],
    ['a decoder that finds everything invalid', 1],
    ['a decoder that finds everything invalid', 500],
  ] as const;

  it.each(cases)(
    'of 10,000 events under a release with %s, in chunks of %d, few are stored when it trips; mended, all effects stand in order',
    long,
    async (fault, chunkSize) => {
      const run = uniqueName('broken');
      const lanes = eventsOf(run, { events: 10_000, keys: 300, partitions: 10 });
      const source = memorySource({ topics: [topic] });
      const broken = await start({
        source,
        handle: write(run),
        killSwitch: short,
        ...(faults[fault] as object),
      });
      const { consumer, consumerName, logger } = broken;
      const delivered = deliverAll(source, lanes, chunkSize);
      const loud = () =>
        logger.entries.filter(
          ({ level, message }) => level === 'error' && message.startsWith('kill switch is open'),
        );
      await expect.poll(() => loud().length, soon).toBeGreaterThanOrEqual(4);
      expect(consumer.isHealthy()).toBe(false);
      expect(consumer.counts().killSwitchOpened).toBe(1);
      const stored = async () => ({
        scheduled: await count('scheduled_events WHERE worker_id = $1', [consumerName]),
        dead: await count('dead_letter_events WHERE worker_id = $1', [consumerName]),
        attempts: (await db().scheduled(consumerName)).reduce(
          (sum, { attempts }) => sum + Number(attempts),
          0,
        ),
        inbox: (await db().inboxRows(consumerName)).length,
      });
      const whenTripped = await stored();
      const tries = loud().length;
      await expect.poll(() => loud().length, soon).toBeGreaterThanOrEqual(tries + 4);
      // It goes on trying, and nothing of it is stored, no attempt spent.
      expect(await stored()).toEqual(whenTripped);
      const { scheduled, dead, inbox } = whenTripped;
      const invalid = fault.startsWith('a decoder') ? dead : 0;
      expect(scheduled + invalid).toBeLessThanOrEqual(100);
      expect(inbox).toBe(scheduled);
      expect(await effects(run)).toBe(0);
      await consumer.stop();
      await delivered;
      console.log(
        `kill switch: ${fault}, chunks of ${chunkSize}: ${scheduled} scheduled, ${dead} dead of 10,000 when it tripped`,
      );

      const mendedSource = memorySource({ topics: [topic] });
      const mended = await start({
        source: mendedSource,
        handle: write(run),
        killSwitch: short,
        consumerName,
        retriesInParallelMax: 4,
      });
      await deliverAll(mendedSource, lanes, 500, source);
      // One replay.
      await db().pool.query(
        `UPDATE scheduled_events SET state = 'DUE', attempts = 0, next_at = clock_timestamp() WHERE worker_id = $1 AND state = 'DEAD'`,
        [consumerName],
      );
      await expect.poll(() => effects(run), { timeout: 60_000, interval: 200 }).toBe(10_000 - invalid);
      if (invalid === 0) expect(await outOfOrder(run)).toEqual([]);
      expect(mended.consumer.isHealthy()).toBe(true);
    },
  );

  it('one poison key with many events does not trip it', async () => {
    const run = uniqueName('poison');
    const lanes = eventsOf(run, { events: 600, keys: 20, partitions: 2 });
    const source = memorySource({ topics: [topic] });
    const ok = write(run);
    const handle = async (tx: Tx, event: CountEvent) => {
      if (event.name.startsWith('k0/')) throw new Error('poison');
      await ok(tx, event);
    };
    const { consumer, consumerName } = await start({
      source,
      handle,
      killSwitch: short,
      retry: { attemptsMax: 100 },
    });
    await deliverAll(source, lanes, 1);
    expect(await effects(run)).toBe(570);
    expect(await count('scheduled_events WHERE worker_id = $1', [consumerName])).toBe(30);
    expect(consumer.counts().killSwitchOpened).toBe(0);
    expect(consumer.isHealthy()).toBe(true);
  });

  it('an operator may override it: the consumer goes on and dead-letters, and who said so is kept', async () => {
    const run = uniqueName('override');
    const lanes = eventsOf(run, { events: 200, keys: 200, partitions: 1 });
    const source = memorySource({ topics: [topic] });
    const handle = () => Promise.reject(new Error('the topic really is bad'));
    const { consumer, consumerName } = await start({
      source,
      handle,
      killSwitch: short,
      retry: { attemptsMax: 1 },
    });
    const delivered = deliverAll(source, lanes, 50);
    await expect.poll(() => consumer.isHealthy(), soon).toBe(false);
    expect(await db().deadLetters(consumerName)).toEqual([]);
    const by = { actor: 'ann', reason: 'the topic really is bad', forMs: 600_000 };
    await db().transaction((tx) => overrideKillSwitch(tx, consumerName, by));
    await delivered;
    expect(await db().deadLetters(consumerName)).toHaveLength(200);
    expect(consumer.isHealthy()).toBe(true);
    const audit = await db().pool.query('SELECT * FROM consumer_audit WHERE worker_id = $1', [consumerName]);
    expect(audit.rows).toMatchObject([
      { actor: 'ann', action: 'kill-switch-override', reason: by.reason, detail: { forMs: 600_000 } },
    ]);
  });

  it('stored events trip it too; and close it again when nothing new comes', async () => {
    const run = uniqueName('quiet');
    const lanes = eventsOf(run, { events: 60, keys: 60, partitions: 1 });
    const source = memorySource({ topics: [topic] });
    const ok = write(run);
    let isBroken = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      if (isBroken) throw new Error('broken');
      await ok(tx, event);
    };
    const given = { source, handle, killSwitch: short, retry: { attemptsMax: 50 } };
    // Few at a time, and good ones beside, so that all of them come to be stored.
    const { consumer, consumerName, logger } = await start({
      ...given,
      killSwitch: { ...short, failuresMin: 61 },
    });
    await deliverAll(source, lanes, 60);
    await expect.poll(() => consumer.isHealthy(), soon).toBe(false);
    const attempts = async () => (await db().scheduled(consumerName)).map((one) => one.attempts);
    const before = await attempts();
    const open = () =>
      logger.entries.filter(({ message }) => message.startsWith('kill switch is open')).length;
    const tries = open();
    await expect.poll(open, soon).toBeGreaterThan(tries + 3);
    expect(await attempts()).toEqual(before);
    isBroken = false;
    await expect.poll(() => effects(run), soon).toBe(60);
    expect(consumer.isHealthy()).toBe(true);
  });

  it('a decoder that finds stored events invalid does not make dead letters of all of them', async () => {
    const run = uniqueName('decoder');
    const lanes = eventsOf(run, { events: 60, keys: 60, partitions: 1 });
    const source = memorySource({ topics: [topic] });
    const handle = () => Promise.reject(new Error('later'));
    const retry = { baseMs: 3_600_000, maxMs: 3_600_000 };
    const off = { killSwitch: { ...short, failuresMin: 1_000 } };
    const { consumer, consumerName } = await start({ source, handle, retry, ...off });
    await deliverAll(source, lanes, 60);
    await consumer.stop();
    await db().pool.query('UPDATE scheduled_events SET next_at = now() WHERE worker_id = $1', [consumerName]);
    const decode = () => ({ kind: 'invalid', reason: 'unknown version' }) as const;
    const broken = await start({ consumerName, handle, decode, killSwitch: short });
    await expect.poll(() => broken.consumer.isHealthy(), soon).toBe(false);
    expect((await db().deadLetters(consumerName)).length).toBeLessThan(25);
  });
});
