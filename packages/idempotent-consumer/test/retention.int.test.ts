import { beforeAll, describe, expect, it } from 'vitest';
import { deleteExpired, pgTransaction } from '../src/index.ts';
import { kafkajsSource } from '../src/kafkajs.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { countUp, createTestTopic, soon, type Tx, testKafka, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const dayMs = 86_400_000;
const horizons = { inboxMs: 7 * dayMs, finishedMs: 3 * dayMs };

describe('retention', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);
  const transaction = <R>(work: (tx: Tx) => Promise<R>) => db().transaction(work);

  /** Inbox rows of one consumer, this many days old. */
  const remember = (consumerName: string, days: number, count = 1) =>
    db().pool.query(
      `INSERT INTO processed_events (event_id, worker_id, processed_at)
       SELECT concat_ws(' ', $1::text, $2::int, i), $1, now() - $2::int * interval '1 day' FROM generate_series(1, $3::int) i`,
      [consumerName, days, count],
    );
  const schedule = (consumerName: string, state: string, days: number | null) =>
    db().pool.query(
      `INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", headers, state,
         attempts, next_at, finished_at)
       VALUES ($1, $2::text, $2::text, 't', 0, 0, '', $2::text, 1, now(), now() - $3::int * interval '1 day')`,
      [consumerName, state, days],
    );
  const letter = (consumerName: string, state: string, offset: number, days: number | null) =>
    db().pool.query(
      `INSERT INTO dead_letter_events (worker_id, topic, "partition", "offset", reason, state, failed_at, decided_at)
       VALUES ($1, 't', 0, $3, 'broken', $2, now() - interval '90 days', now() - $4::int * interval '1 day')`,
      [consumerName, state, offset, days],
    );

  it('what is older than its horizon leaves in batches; what is younger, unfinished or of another consumer stays', async () => {
    const [consumerName, other] = [uniqueName('mine'), uniqueName('other')];
    await remember(consumerName, 8, 25);
    await remember(consumerName, 6, 3);
    await remember(other, 400, 2);
    for (const state of ['DONE', 'SKIPPED', 'DISCARDED']) await schedule(consumerName, state, 4);
    await schedule(consumerName, 'DONE', 2);
    for (const state of ['DUE', 'DEAD']) await schedule(consumerName, state, null);
    await schedule(other, 'DONE', 400);
    await letter(consumerName, 'DONE', 1, 4);
    await letter(consumerName, 'DISCARDED', 2, 4);
    await letter(consumerName, 'DONE', 3, 2);
    await letter(consumerName, 'DEAD', 4, null);
    await letter(other, 'DONE', 1, 400);
    const sizes: number[] = [];
    const pass = await deleteExpired(
      {
        transaction: async (work) => {
          const before = (await db().inboxRows(consumerName)).length;
          const result = await transaction(work);
          sizes.push(before - (await db().inboxRows(consumerName)).length);
          return result;
        },
      },
      { consumerName, ...horizons, batchSizeMax: 10, batchPauseMs: 1 },
    );
    expect(pass).toEqual({ outcome: 'done', inbox: 25, scheduled: 3, deadLetters: 2 });
    expect(sizes.slice(0, 3)).toEqual([10, 10, 5]);
    expect(await db().inboxRows(consumerName)).toHaveLength(3);
    expect((await db().scheduled(consumerName)).map(({ state }) => state)).toEqual(['DONE', 'DUE', 'DEAD']);
    expect((await db().deadLetters(consumerName)).map(({ offset }) => offset)).toEqual(['3', '4']);
    expect(await db().inboxRows(other)).toHaveLength(2);
    expect(await db().scheduled(other)).toHaveLength(1);
    expect(await db().deadLetters(other)).toHaveLength(1);
  });

  it('of several members one deletes, and the others leave it to that one', async () => {
    const consumerName = uniqueName('members');
    await remember(consumerName, 8, 5);
    const options = { consumerName, ...horizons };
    const deleting = Promise.withResolvers<void>();
    const mayCommit = Promise.withResolvers<void>();
    const first = deleteExpired(
      {
        transaction: (work) =>
          transaction(async (tx) => {
            const result = await work(tx);
            deleting.resolve();
            await mayCommit.promise;
            return result;
          }),
      },
      options,
    );
    await deleting.promise;
    expect(await deleteExpired({ transaction }, options)).toMatchObject({ outcome: 'busy', inbox: 0 });
    expect(await deleteExpired({ transaction }, { ...options, consumerName: uniqueName('c') })).toMatchObject(
      {
        outcome: 'done',
      },
    );
    mayCommit.resolve();
    expect(await first).toMatchObject({ outcome: 'done', inbox: 5 });
  });

  it('a running consumer deletes by itself, and an event that comes again behind the horizon is handled again', async () => {
    const name = uniqueName('straddling');
    const options = { handle: countUp, retention: { ...horizons, intervalMs: 20 } };
    const { consumerName, source, consumer } = await start(options);
    await source.deliver([counting(`${name}-1`, name)]);
    await consumer.stop();
    /** As after a restart: a process remembers for a while itself. */
    const again = async () => {
      const next = await start({ ...options, consumerName });
      await next.source.deliver([counting(`${name}-1`, name)]);
      return next.consumer.counts();
    };
    const age = (days: number) =>
      db().pool.query(
        `UPDATE processed_events SET processed_at = now() - $2::int * interval '1 day' WHERE worker_id = $1`,
        [consumerName, days],
      );
    await age(6);
    expect(await again()).toMatchObject({ handled: 0, duplicates: 1 });
    await age(8);
    await expect.poll(() => db().inboxRows(consumerName), soon).toHaveLength(0);
    expect(await again()).toMatchObject({ handled: 1, duplicates: 0 });
    expect(await db().counted(name)).toBe(2);
  });

  it('a horizon that is shorter than what the topic keeps is warned of, once', async () => {
    const sourceOf = (retentionMs: number) => ({
      ...memorySource(),
      topicRetentionMs: async () => retentionMs,
    });
    const warnings = async (retentionMs: number) => {
      let asked = 0;
      const source = { ...sourceOf(retentionMs), groupId: uniqueName('group') };
      const { logger } = await start({
        handle: countUp,
        source,
        transaction: (work) => {
          asked++;
          return transaction(work);
        },
        retention: { ...horizons, intervalMs: 5 },
      });
      await expect.poll(() => asked, soon).toBeGreaterThan(20);
      return logger.entries.filter(({ message }) => message.startsWith('the inbox forgets'));
    };
    expect(await warnings(6 * dayMs)).toEqual([]);
    expect(await warnings(8 * dayMs)).toMatchObject([
      { level: 'warn', fields: { inboxMs: 7 * dayMs, topicRetentionMs: 8 * dayMs } },
    ]);
    expect(await warnings(Number.POSITIVE_INFINITY)).toHaveLength(1);
  });

  it('the deletion finds what is due by an index, however much is not', async () => {
    const consumerName = uniqueName('plan');
    await remember(consumerName, 1, 20_000);
    await db().pool.query('VACUUM (ANALYZE) processed_events');
    const sent: { text: string; values: unknown[] }[] = [];
    const client = await db().pool.connect();
    const listening = {
      query: (text: string, values: unknown[] = []) => {
        sent.push({ text, values });
        return client.query(text, values);
      },
      release: () => undefined,
    };
    await deleteExpired(
      { transaction: pgTransaction({ connect: async () => listening }) },
      { consumerName, ...horizons },
    );
    const deletion = sent.find(({ text }) => text.includes('DELETE FROM processed_events'));
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) ${deletion?.text}`, deletion?.values);
    client.release();
    expect(JSON.stringify(rows)).toContain('processed_events_processed_at');
  });

  it('refuses an option that is no positive integer', async () => {
    await expect(deleteExpired({ transaction }, { consumerName: 'c', inboxMs: 0 })).rejects.toMatchObject({
      code: 'CONSUMER_OPTION_INVALID',
      message: 'retention.inboxMs is not a positive integer',
    });
    await expect(start({ handle: countUp, retention: { batchSizeMax: 0.5 } })).rejects.toMatchObject({
      code: 'CONSUMER_OPTION_INVALID',
    });
  });
});

describe('the retention of topics, as the kafkajs source sees it', () => {
  let topics: Record<'week' | 'hour' | 'compacted', string>;
  beforeAll(async () => {
    const [week, hour, compacted] = await Promise.all([
      createTestTopic('week'),
      createTestTopic('hour'),
      createTestTopic('compacted'),
    ]);
    topics = { week, hour, compacted };
    const admin = testKafka().admin();
    await admin.connect();
    const set = (name: string, configEntries: { name: string; value: string }[]) =>
      admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name, configEntries }] });
    await set(hour, [{ name: 'retention.ms', value: '3600000' }]);
    await set(compacted, [{ name: 'cleanup.policy', value: 'compact' }]);
    await admin.disconnect();
  });

  it('is the longest of them, and for ever where one is compacted', async () => {
    const retention = (...names: string[]) =>
      kafkajsSource(
        { kafka: testKafka() },
        { groupId: uniqueName('group'), topics: names },
      ).topicRetentionMs?.();
    expect(await retention(topics.hour)).toBe(3_600_000);
    expect(await retention(topics.hour, topics.week)).toBe(7 * dayMs);
    expect(await retention(topics.hour, topics.compacted)).toBe(Number.POSITIVE_INFINITY);
  });
});
