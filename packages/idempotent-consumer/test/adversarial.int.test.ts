import { startOwnPostgres } from '@orders/dev-stack/own-servers';
import { createRandom, freshSeed } from '@orders/dev-stack/soak';
import { testStack } from '@orders/dev-stack/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { crash, deleteOffsets, type Run, runWith, stopBeyondSession, storm } from '../soak/faults.ts';

/** Short runs of what `pnpm soak:consumer` does for longer, and with every client. */
describe('members as processes, to whom things happen', () => {
  const seed = freshSeed();
  const closing: (() => Promise<unknown>)[] = [];
  afterAll(async () => {
    for (const close of closing.toReversed()) await close();
  });

  async function everyEffectOnce(run: Omit<Run, 'servers' | 'eventsPerSecond'>, servers = testStack()) {
    const context = { log: () => undefined, atEnd: (close: () => Promise<unknown>) => closing.push(close) };
    const { produced, ...verdict } = await runWith({ ...run, servers, eventsPerSecond: 60 }, context);
    expect(produced).toBeGreaterThan(100);
    expect(verdict, `seed ${seed}`).toEqual({
      effects: produced,
      lost: 0,
      doubled: 0,
      inverted: 0,
      dead: 0,
    });
  }

  it.concurrent('members join, leave and are killed: every effect once, in order per key', async () => {
    const random = createRandom(seed);
    await everyEffectOnce({
      client: 'kafkajs',
      members: 2,
      harm: (harmed) => storm(harmed, { seconds: 8, random }),
    });
  });

  it.concurrent('a member stands still beyond its session in a transaction, and goes on: every effect once', async () => {
    const random = createRandom(seed);
    await everyEffectOnce({
      client: 'platformatic-consumer',
      members: 2,
      handleMs: 300,
      harm: (harmed) => stopBeyondSession(harmed, { times: 1, random }),
    });
  });

  it.concurrent('the offsets of the group are deleted: every effect once', async () => {
    await everyEffectOnce({ client: 'platformatic', members: 2, harm: deleteOffsets });
  });

  it.concurrent('PostgreSQL crashes while chunks are committed: every effect once', async () => {
    const random = createRandom(seed);
    const postgres = await startOwnPostgres();
    closing.push(postgres.close);
    await everyEffectOnce(
      {
        client: 'kafkajs',
        members: 2,
        handleMs: 50,
        harm: (harmed) => crash(postgres, harmed, { times: 3, awayMs: 200, random }),
      },
      { postgresUrl: postgres.url, kafkaBrokers: testStack().kafkaBrokers },
    );
  });
}, 180_000);
