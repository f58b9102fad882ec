import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import {
  adoptRestoredOutbox,
  createOutbox,
  createRelay,
  listDeadLetters,
  type OutboxStatus,
  outboxStatus,
  pauseRelays,
  redrive,
  resumeRelays,
  skip,
} from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor } from './fixture.ts';

/** Parsers of a pool that make nonsense of everything. */
export const nonsense = { getTypeParser: () => () => 'nonsense' } as unknown as pg.CustomTypesConfig;

/** The server's own text. */
const plainText = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

/** Asks for the server's own text until it is what is expected. */
function watch(url: string) {
  const plain = new pg.Pool({ connectionString: url, max: 1, types: plainText });
  const textOf = async (sql: string) =>
    (await plain.query(`SELECT (${sql})::text AS text`)).rows[0].text as string;
  return {
    async until(sql: string, expected: string): Promise<void> {
      const deadline = performance.now() + 20_000;
      for (let text = ''; text !== expected; text = await textOf(sql)) {
        if (performance.now() > deadline) throw new Error(`${sql}: ${text} is not ${expected}`);
        await sleep(20);
      }
    },
    close: () => plain.end(),
  };
}

/** Writes what a relay publishes, and what it never can: as plain pg does it, with a connection of the pool. */
async function write(pool: pg.Pool): Promise<void> {
  // Too large for the broker, so that it is a dead letter.
  const poison = (key: string) => eventFor('well', key, 0, { payload: 'x'.repeat(1_100_000) });
  const client = await pool.connect();
  await client.query('BEGIN');
  await createOutbox({ recordBytesMax: 2_000_000 }).add(client, [
    ...[poison('dead'), eventFor('well', 'dead', 1), poison('given up')],
    ...[1, 2, 3].map((n) => eventFor('well', 'key', n)),
    eventFor('well', 'bytes', 0, { payload: Buffer.from([0, 1, 92, 255]) }),
  ]);
  await client.query('COMMIT');
  client.release();
}

/**
 * Uses all that this package has, with a pool whose answers may be nonsense, on a database of its own.
 * @returns what it was told, without what differs from run to run
 */
export async function useAll(pool: pg.Pool, url: string) {
  const database = watch(url);
  const broker = createMemoryBroker();
  broker.createTopic('well');
  const intervals = { pollIntervalMs: 50, lowWaterIntervalMs: 50, partitionIntervalMs: 50 };
  const relay = createRelay({ pool, publisher: broker.publisher }, { leaseDurationMs: 2_000, ...intervals });
  try {
    await write(pool);
    const paused = await pauseRelays(pool, { reason: 'to see it' });
    const resumed = await resumeRelays(pool);
    await relay.start();
    await database.until(`SELECT count(*) FROM outbox WHERE published_at IS NOT NULL`, '4');
    await database.until(`SELECT count(*) FROM outbox_dead_letters WHERE state = 'DEAD'`, '2');
    await database.until(`SELECT min(low_seq) > (SELECT max(seq) FROM outbox) FROM outbox_buckets`, 'true');
    await database.until(`SELECT count(*) FROM outbox_maintenance WHERE relay IS NOT NULL`, '1');
    const status = await outboxStatus(pool);
    const own = relay.status();
    // Their numbers are as their lanes came first.
    const letters = (await listDeadLetters(pool)).toSorted((a, b) =>
      a.orderingKey.localeCompare(b.orderingKey),
    );
    await relay.stop();
    const redriven = await redrive(pool, { aggregateType: 'thing', orderingKey: 'dead' });
    const skipped = await skip(
      pool,
      letters.find(({ orderingKey }) => orderingKey === 'given up')?.id ?? 0,
      'too large',
    );
    return {
      published: broker
        .read('well')
        .map(({ id, ...record }) => ({ ...record, value: Buffer.from(record.value) })),
      pause: [paused.reason, isRecent(paused.since), isDeepStrictEqual(paused, resumed)],
      relay: [own.published, own.marked, own.fenced, own.deadLettered, own.buckets.length, own.parked.length],
      status: comparable(status, own.relayId),
      letters: letters.map(({ id, eventId, failedAt, ...one }) => [
        one,
        ...[Number.isSafeInteger(id), uuid.test(eventId), isRecent(failedAt)],
      ]),
      decided: [...redriven, skipped].map(({ orderingKey, state, history }) => [
        orderingKey,
        state,
        history.length,
      ]),
      unpublished: await adoptRestoredOutbox(pool),
    };
  } finally {
    await relay.stop();
    await database.close();
  }
}

const comparable = ({ buckets, longestBlocked, partitions, ...status }: OutboxStatus, relayId: string) => ({
  ...status,
  oldestWritingTransactionMs: status.oldestWritingTransactionMs === undefined,
  buckets: buckets.map(({ owner, ...one }) => [one, owner === relayId]),
  longestBlocked: longestBlocked.map(({ since, ...one }) => [one, isRecent(since)]),
  partitions: [
    partitions.count,
    typeof partitions.aheadMs,
    typeof partitions.oldestAgeMs,
    partitions.defaultIsUsed,
  ],
});

const uuid = /^[\da-f-]{36}$/;

const isRecent = (at: Date): boolean => at instanceof Date && Math.abs(Date.now() - at.getTime()) < 60_000;
