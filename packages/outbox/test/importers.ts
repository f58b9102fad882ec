/** What importers write: each is compiled outside the workspace, with the declarations of libraries checked too. */

/** The library alone: no Node types, no `@types/pg`, no broker client. */
export const plainImporter = `
import { bucketOf, createOutbox, createRelay, OutboxError, type Outbox, type Publisher, type Relay } from '@orders/outbox';
import { outboxMigrations, outboxSql } from '@orders/outbox/migrations';

const publisher: Publisher = {
  async connect() {},
  publish: async (records) => records.map(() => ({ acknowledged: true })),
  async disconnect() {},
};
const away = async () => {
  throw new Error('no database here');
};
const outbox: Outbox = createOutbox({ pool: { query: away } });
const relay: Relay = createRelay({ pool: { query: away, connect: away }, publisher });
const { state } = relay.status();
let code = '';
try {
  createRelay({ pool: { query: away, connect: away }, publisher }, { batchSizeMax: -1 });
} catch (error) {
  if (error instanceof OutboxError) code = error.code;
}
await outbox.close();
console.log(JSON.stringify({ state, code, bucket: bucketOf('demo:customer-42'), migrations: Object.keys(outboxMigrations).length > 0 && outboxSql().startsWith('BEGIN') }));
`;
export const plainOutput = {
  state: 'stopped',
  code: 'OUTBOX_OPTION_INVALID',
  bucket: 33,
  migrations: true,
};

/** With its optional peers. */
export const fullImporter = `
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { Kafka } from 'kafkajs';
import pg from 'pg';
import { createOutbox, createRelay } from '@orders/outbox';

const pool = new pg.Pool();
const publisher = createKafkajsPublisher({ kafka: new Kafka({ brokers: ['localhost:1'] }) });
const relay = createRelay({ pool, publisher });
const outbox = createOutbox({ pool });
const client = new pg.Client();
const events = [{ topic: 't', key: 'k', type: 'a.b.v1', payload: { n: 1 } }];
const written = async (): Promise<string[]> => outbox.add(client, events);
// @ts-expect-error a pool is no transaction
const mistaken = () => outbox.add(pool, []);
await outbox.close();
await pool.end();
console.log(JSON.stringify({ healthy: relay.isHealthy(), written: typeof written, mistaken: typeof mistaken }));
`;
export const fullOutput = { healthy: false, written: 'function', mistaken: 'function' };
