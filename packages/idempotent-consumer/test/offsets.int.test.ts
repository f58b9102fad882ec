import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { testStack } from '@orders/dev-stack/testing';
import { logLevel } from 'kafkajs';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import type { CrashPoint } from '../src/testing.ts';
import {
  committedOffset,
  countAll,
  countRecord,
  createTestTopic,
  produce,
  soon,
  testKafka,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';
import type { VictimOptions } from './victim.ts';

const serverIsStarting = () => Object.assign(new Error('the server is starting up'), { code: '57P03' });

describe('accept, then resolve', () => {
  const db = useDatabase();
  const startConsumer = useConsumers(db);

  it('the committed offset stays behind a chunk that is not accepted, and follows once it is', async () => {
    const topic = await createTestTopic('behind');
    const name = uniqueName('behind');
    await produce(topic, [countRecord('b1', name), countRecord('b2', name)]);
    let [hasBegun, isHealed] = [false, false];
    const { consumer, logger, groupId, consumerName } = await startConsumer({
      topic,
      deps: {
        transaction: async (work) => {
          if (!isHealed && hasBegun) throw serverIsStarting();
          return db().transaction(work);
        },
        crashPoint: (point) => {
          hasBegun ||= point === 'consumer.accept.begun';
        },
      },
    });
    await expect.poll(() => consumer.counts().retries, soon).toBeGreaterThan(2);
    expect(await committedOffset(groupId, topic)).toBe(-1);
    expect(await db().inboxRows(consumerName)).toEqual([]);
    expect(consumer.isHealthy()).toBe(true);
    await expect.poll(() => consumer.counts().retries, soon).toBeGreaterThan(10);

    isHealed = true;
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(2);
    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 0, deadLetters: 0 });
    const warnings = logger.entries.filter(({ fields }) => 'firstOffset' in fields);
    expect(warnings[0]).toMatchObject({
      message: 'chunk not accepted for now, trying again',
      fields: { topic, partition: 0, firstOffset: '0', records: 2, attempt: 1 },
    });
    const errors = logger.entries.filter(({ level, fields }) => level === 'error' && 'firstOffset' in fields);
    expect(errors[0]).toMatchObject({
      message: 'chunk not accepted for long, its partition waits; trying again',
      fields: { topic, attempt: 10 },
    });
  });

  it.each<{ killAt: CrashPoint; inbox: number; committed: number; duplicates: number }>([
    { killAt: 'consumer.accept.before-commit', inbox: 0, committed: -1, duplicates: 0 },
    { killAt: 'consumer.accept.after-commit', inbox: 2, committed: -1, duplicates: 2 },
    { killAt: 'consumer.offsets.before-commit', inbox: 2, committed: -1, duplicates: 2 },
    { killAt: 'consumer.offsets.after-commit', inbox: 2, committed: 2, duplicates: 0 },
  ])('a process killed at $killAt loses nothing and repeats nothing', async (expected) => {
    const { killAt } = expected;
    const topic = await createTestTopic('killed');
    const name = uniqueName('killed');
    const ids = { topic, groupId: uniqueName('group'), consumerName: uniqueName('worker') };
    await produce(topic, [countRecord('k1', name), countRecord('k2', name)]);

    const options: VictimOptions = {
      ...ids,
      killAt,
      databaseUrl: db().url,
      brokers: testStack().kafkaBrokers,
    };
    const victim = spawn(process.execPath, [join(import.meta.dirname, 'victim.ts'), JSON.stringify(options)]);
    const [reached, [, signal]] = await Promise.all([text(victim.stdout), once(victim, 'exit')]);
    expect({ reached, signal }).toEqual({ reached: killAt, signal: 'SIGKILL' });
    expect(await db().inboxRows(ids.consumerName)).toHaveLength(expected.inbox);
    expect(await committedOffset(ids.groupId, topic)).toBe(expected.committed);

    const { consumer } = await startConsumer(ids);
    await produce(topic, [countRecord('k3', name)]);
    await expect.poll(() => committedOffset(ids.groupId, topic), soon).toBe(3);
    expect(await db().counted(name)).toBe(3);
    expect(consumer.counts().duplicates).toBe(expected.duplicates);
  });

  it('a connection that is terminated in the middle of the transaction delays the chunk, and kafkajs does not notice', async () => {
    const topic = await createTestTopic('terminated');
    const name = uniqueName('terminated');
    await produce(topic, [countRecord('t1', name), countRecord('t2', name)]);
    const noise: string[] = [];
    let calls = 0;
    const { consumer, groupId, consumerName } = await startConsumer({
      topic,
      kafka: testKafka((level, message) => {
        if (level <= logLevel.WARN) noise.push(message);
      }),
      handleBatch: async (tx, events) => {
        await countAll(tx, events);
        if (++calls > 1) return;
        const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(tx);
        await db().pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
        await countAll(tx, events);
      },
    });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(2);
    expect(await db().counted(name)).toBe(2);
    expect(await db().deadLetters(consumerName)).toEqual([]);
    expect(consumer.counts()).toMatchObject({ handled: 2, retries: 1 });
    expect(noise).toEqual([]);
  });

  it('a chunk that takes longer than the session, by work and by waiting, keeps its place in the group', async () => {
    const topic = await createTestTopic('slow');
    const name = uniqueName('slow');
    await produce(topic, [countRecord('s1', name)]);
    const joins: string[] = [];
    const sessionTimeoutMs = 1_000;
    let failUntilMs = 0;
    const { groupId } = await startConsumer({
      topic,
      source: { sessionTimeoutMs },
      kafka: testKafka((_, message) => {
        if (message.includes('joined')) joins.push(message);
      }),
      deps: {
        transaction: async (work) => {
          if (Date.now() < failUntilMs) throw serverIsStarting();
          return db().transaction(work);
        },
      },
      handleBatch: async (tx, events) => {
        if (failUntilMs === 0) {
          await sql`SELECT pg_sleep(${(1.5 * sessionTimeoutMs) / 1000})`.execute(tx);
          failUntilMs = Date.now() + 1.5 * sessionTimeoutMs;
          throw new Error('once more');
        }
        await countAll(tx, events);
      },
    });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(1);
    expect(await db().counted(name)).toBe(1);
    expect(joins).toHaveLength(1);
  });
});
