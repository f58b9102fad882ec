// A consumer process that kills itself at a crash point: node victim.ts '{"killAt": …}'
import { Kafka, logLevel } from 'kafkajs';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { createConsumer } from '../src/index.ts';
import { kafkajsSource } from '../src/kafkajs.ts';
import { type CrashPoint, killAt } from '../src/testing/crash-points.ts';
import { type CountEvent, countAll, decodeCount, type Tx } from './counting.ts';

export interface VictimOptions {
  killAt: CrashPoint;
  brokers: string[];
  databaseUrl: string;
  topic: string;
  groupId: string;
  consumerName: string;
}

const options: VictimOptions = JSON.parse(process.argv[2] as string);
// biome-ignore lint/suspicious/noExplicitAny: the tests write SQL, not Kysely queries
const db = new Kysely<any>({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: options.databaseUrl, max: 2 }) }),
});

const consumer = createConsumer<CountEvent, Tx>(
  {
    source: kafkajsSource(
      { kafka: new Kafka({ brokers: options.brokers, logLevel: logLevel.NOTHING }) },
      { groupId: options.groupId, topics: [options.topic], sessionTimeoutMs: 1_000 },
    ),
    transaction: (work) => db.transaction().execute(work),
    crashPoint: killAt(options.killAt),
  },
  {
    consumerName: options.consumerName,
    decode: decodeCount,
    handleBatch: countAll,
  },
);
await consumer.start();
