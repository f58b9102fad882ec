import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import type { RelaysUnderTest, RunContext } from '../soak/adversary/run.ts';
import type { Publisher } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';

// Two ways in which relays are often written. They are here to be caught.

const batchSizeMax = 10;
const columns = `seq::text AS seq, id, topic, key, payload::text AS payload, headers`;

async function publishRows(publisher: Publisher, rows: readonly Record<string, unknown>[]): Promise<void> {
  const results = await publisher.publish(
    rows.map((row) => ({
      id: String(row.id),
      topic: String(row.topic),
      key: String(row.key),
      value: String(row.payload),
      headers: row.headers as Record<string, string>,
    })),
  );
  for (const result of results) if (!result.acknowledged) throw result.error;
}

/** Runs `step` over and over in so many places; a step says whether it found anything. */
function loops(
  context: RunContext,
  count: number,
  step: (pool: pg.Pool, publisher: Publisher) => Promise<boolean>,
) {
  const pool = new pg.Pool({ connectionString: context.database.url, max: count });
  const publisher = createKafkajsPublisher({
    kafka: new Kafka({ brokers: context.kafkaBrokers, logLevel: logLevel.NOTHING }),
  });
  let over = false;
  const running = Array.from({ length: count }, async () => {
    while (!over) if (!(await step(pool, publisher))) await sleep(5);
  });
  const ended = Promise.all(running);
  ended.catch(() => undefined); // awaited by stop
  return async () => {
    over = true;
    await ended;
    await publisher.disconnect();
    await pool.end();
  };
}

/** One reader that goes on behind the highest number it has seen: `seq > cursor`. */
export async function cursorRelay(context: RunContext): Promise<RelaysUnderTest> {
  let cursor = '0';
  const stop = loops(context, 1, async (pool, publisher) => {
    const { rows } = await pool.query(
      `SELECT ${columns} FROM outbox WHERE outbox.seq > $1 ORDER BY outbox.seq LIMIT $2`,
      [cursor, batchSizeMax],
    );
    if (rows.length === 0) return false;
    await publishRows(publisher, rows);
    cursor = rows.at(-1).seq;
    return true;
  });
  return {
    wantMore: async () => false,
    settle: async () => undefined,
    async isDrained() {
      const { rows } = await context.database.pool.query(
        'SELECT count(*)::int AS n FROM outbox WHERE seq > $1',
        [cursor],
      );
      return rows[0].n === 0;
    },
    stop,
  };
}

/** Three readers that lock what they publish and pass over what another has locked, without buckets. */
export async function skipLockedRelays(context: RunContext): Promise<RelaysUnderTest> {
  const stop = loops(context, 3, async (pool, publisher) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query(
        `SELECT ${columns} FROM outbox WHERE published_at IS NULL ORDER BY outbox.seq LIMIT $1
         FOR UPDATE SKIP LOCKED`,
        [batchSizeMax],
      );
      // As slow as a broker is now and then; the others do not wait.
      await sleep(Math.random() * 20);
      if (rows.length > 0) await publishRows(publisher, rows);
      await client.query(
        'UPDATE outbox SET published_at = clock_timestamp() WHERE seq = ANY ($1::bigint[])',
        [rows.map((row) => row.seq)],
      );
      await client.query('COMMIT');
      return rows.length > 0;
    } finally {
      client.release();
    }
  });
  return {
    wantMore: async () => false,
    settle: async () => undefined,
    async isDrained() {
      const { rows } = await context.database.pool.query(
        'SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL',
      );
      return rows[0].n === 0;
    },
    stop,
  };
}
