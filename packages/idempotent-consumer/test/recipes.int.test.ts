import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySource } from '../src/testing/memory-source.ts';
import { soon, uniqueName, useDatabase } from './harness.ts';
import { counting } from './memory-consumer.ts';
import { countingConsumer } from './recipes/drizzle.ts';
import { buildWebhook } from './recipes/fastify.ts';
import { countingConsumer as nestProvider } from './recipes/nestjs.ts';

describe('recipes', () => {
  const db = useDatabase();
  let pool: pg.Pool;
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: db().url, max: 6 });
    pool.on('connect', (client) => client.on('error', () => undefined)).on('error', () => undefined);
  });
  afterAll(() => pool.end());

  it('Drizzle: its statements stand and fall with the consumer’s transaction', async () => {
    const name = uniqueName('drizzle');
    const source = memorySource();
    let isBroken = true;
    const options = {
      consumerName: uniqueName('drizzle'),
      pollIntervalMs: 50,
      retry: { baseMs: 20, maxMs: 50, attemptsMax: 100 },
    };
    const ok = countingConsumer(source, pool, options);
    await ok.start();
    await source.deliver([
      counting(`${name}-1`, name),
      counting(`${name}-2`, name),
      counting(`${name}-1`, name),
    ]);
    expect(await db().counted(name)).toBe(2);
    await ok.stop();
    const other = memorySource();
    const failing = countingConsumer(other, pool, {
      ...options,
      async handle(tx) {
        await tx.query(
          `INSERT INTO counters VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1`,
          [name],
        );
        if (isBroken) throw new Error('rolled back');
      },
    });
    await failing.start();
    await other.deliver([counting(`${name}-3`, name)]);
    expect(await db().counted(name)).toBe(2);
    isBroken = false;
    await expect.poll(() => db().counted(name), soon).toBe(3);
    await failing.stop();
  });

  it('Fastify: a route called again with the same event has its effect once, also at the same time', async () => {
    const name = uniqueName('fastify');
    const app = buildWebhook(pool);
    const call = () => app.inject({ method: 'POST', url: '/webhook', payload: { eventId: name, name } });
    const codes = (await Promise.all([call(), call(), call()])).map(({ statusCode }) => statusCode);
    expect(codes.toSorted()).toEqual([200, 200, 201]);
    expect((await call()).json()).toEqual({ outcome: 'duplicate' });
    expect(await db().counted(name)).toBe(1);
    await app.close();
  });

  it('NestJS: the provider starts its consumer with the application, and stops it with it', async () => {
    const name = uniqueName('nest');
    const source = memorySource();
    const consumer = nestProvider.useFactory(source, pool);
    await consumer.onApplicationBootstrap();
    await source.deliver([counting(name, name)]);
    expect(await db().counted(name)).toBe(1);
    expect(consumer.isHealthy()).toBe(true);
    await consumer.beforeApplicationShutdown();
  });
});
