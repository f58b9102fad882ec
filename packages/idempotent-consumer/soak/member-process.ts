// A member of the group under test, as a process of its own: node member-process.ts '{"client": …}'
import { setTimeout as sleep } from 'node:timers/promises';
import { Consumer as PlatformaticClient } from '@platformatic/kafka';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { createConsumer, pgTransaction, type RecordSource } from '../src/index.ts';
import { kafkajsSource } from '../src/kafkajs.ts';
import { platformaticSource } from '../src/platformatic.ts';

/** Which client, and with which protocol. */
export type Client = 'kafkajs' | 'platformatic' | 'platformatic-consumer';

export interface MemberOptions {
  readonly client: Client;
  readonly brokers: string[];
  readonly databaseUrl: string;
  readonly topic: string;
  readonly groupId: string;
  readonly consumerName: string;
  /** Of the source; its own defaults unless given. */
  readonly source?: { sessionTimeoutMs?: number; rebalanceTimeoutMs?: number };
  /** Each event's handler works so long in its transaction, now and then. */
  readonly handleMs?: number;
  /** This share of events fails at its first try. */
  readonly failing?: number;
}

const options: MemberOptions = JSON.parse(process.argv[2] as string);
const { brokers, topic, groupId, consumerName, handleMs = 0, failing = 0 } = options;
const pool = new pg.Pool({
  connectionString: options.databaseUrl,
  application_name: 'soak-member',
  max: 8,
  connectionTimeoutMillis: 2_000,
  statement_timeout: 5_000,
  lock_timeout: 3_000,
  idle_in_transaction_session_timeout: 3_000,
});
pool.on('error', () => undefined);
pool.on('connect', (client) => client.on('error', () => undefined));

function source(): RecordSource {
  const common = { groupId, topics: [topic], ...options.source };
  if (options.client === 'kafkajs') {
    const kafka = new Kafka({ clientId: 'soak', brokers, logLevel: logLevel.NOTHING, retry: { retries: 3 } });
    return kafkajsSource({ kafka }, common);
  }
  const groupProtocol = options.client === 'platformatic' ? 'classic' : 'consumer';
  return platformaticSource(
    {
      createConsumer: (given) =>
        new PlatformaticClient({ clientId: 'soak', bootstrapBrokers: brokers, ...given } as never) as never,
    },
    { ...common, groupProtocol },
  );
}

const say = (level: string) => (fields: object, message: string) => {
  const { err, ...rest } = fields as { err?: Error };
  process.stdout.write(`${JSON.stringify({ level, message, err: err?.message, ...rest })}\n`);
};

const consumer = createConsumer(
  {
    source: source(),
    transaction: pgTransaction(pool),
    logger: { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') },
  },
  {
    consumerName,
    pollIntervalMs: 200,
    retry: { baseMs: 100, maxMs: 1_000, attemptsMax: 1_000_000, transientAttemptsMax: 1_000_000 },
    acceptRetryMaxMs: 1_000,
    handleTimeoutMs: 10_000,
    decode: ({ headers, value }) => ({
      kind: 'event',
      id: String(headers.id),
      event: JSON.parse(Buffer.from(value ?? []).toString()) as { key: string; n: number },
    }),
    // The effect that must happen once has nothing of its own that would stop it from happening twice.
    handle: async (tx, { key, n }, { record, attempt }) => {
      if (attempt === 1 && Math.random() < failing) throw new Error('fails once');
      if (handleMs > 0 && Math.random() < 0.02) await sleep(handleMs);
      await tx.query('INSERT INTO effects (key, n, partition, member) VALUES ($1, $2, $3, $4)', [
        key,
        n,
        record.partition,
        process.pid,
      ]);
    },
  },
);
process.once('SIGTERM', () => void consumer.stop().then(() => process.exit(0)));
await consumer.start();
