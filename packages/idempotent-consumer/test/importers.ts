/** What importers write: each is compiled outside the workspace, with the declarations of libraries checked too. */

/** An importer: what it installs besides this package, what it is compiled with, and what it prints. */
export interface Importer {
  readonly dependencies: readonly string[];
  readonly options?: object;
  readonly main: string;
  readonly output: unknown;
}

/** Without the DOM, whose types are not all Node's. */
const node = { lib: ['es2024'], types: ['node'] };

const decode = `(record) => ({ kind: 'event', id: 'e', event: String(record.value) })`;

/** The library alone, and with each of its peers alone. */
export const importers: Readonly<Record<string, Importer>> = {
  // Neither Node's types nor a database or broker client.
  nothing: {
    dependencies: [],
    main: `
import { ConsumerError, createConsumer, isTransient, type PgTransaction } from '@orders/idempotent-consumer';
import { consumerMigrations, consumerSql } from '@orders/idempotent-consumer/migrations';
import { memorySource } from '@orders/idempotent-consumer/testing';

const consumer = createConsumer<string, PgTransaction>(
  { source: memorySource(), transaction: async () => { throw new Error('no database here'); } },
  { consumerName: 'billing', decode: ${decode}, handle: (tx, event) => console.log(tx, event) },
);
let code = '';
try {
  createConsumer<string, PgTransaction>(
    { source: memorySource(), transaction: async () => { throw new Error('no database here'); } },
    { consumerName: '', decode: ${decode}, handle: () => undefined },
  );
} catch (error) {
  if (error instanceof ConsumerError) code = error.code;
}
const migrations = Object.keys(consumerMigrations).length > 0 && consumerSql().startsWith('BEGIN');
console.log(JSON.stringify({ healthy: consumer.isHealthy(), code, migrations, transient: isTransient({ code: '40001' }) }));
`,
    output: { healthy: false, code: 'CONSUMER_OPTION_INVALID', migrations: true, transient: true },
  },
  kysely: {
    dependencies: ['kysely'],
    main: `
import { createConsumer, kyselyTransaction, processOnce } from '@orders/idempotent-consumer';
import { consumerMigratorSettings } from '@orders/idempotent-consumer/migrations';
import { memorySource } from '@orders/idempotent-consumer/testing';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, type Transaction } from 'kysely';
import { Migrator } from 'kysely/migration';

interface Database {
  invoices: { id: string };
}
const db = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (of) => new PostgresIntrospector(of),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});
const consumer = createConsumer(
  { source: memorySource(), transaction: kyselyTransaction(db) },
  {
    consumerName: 'billing',
    decode: ${decode},
    handleBatch: async (tx, events, { attempt }) => {
      await tx.insertInto('invoices').values(events.map((id) => ({ id: id + attempt }))).execute();
    },
  },
);
// @ts-expect-error a Kysely instance is no transaction
const mistaken = () => processOnce(db, { consumerName: 'billing', eventId: 'e' }, async () => undefined);
// With a function of one's own, the types are said once.
createConsumer<string, Transaction<Database>>(
  { source: memorySource(), transaction: (work) => db.transaction().execute(work) },
  { consumerName: 'billing', decode: ${decode}, handle: async (tx) => void tx.selectFrom('invoices') },
);
const migrator = new Migrator({ db, ...consumerMigratorSettings({ schema: 'public' }) });
console.log(JSON.stringify({ healthy: consumer.isHealthy(), migrator: typeof migrator, mistaken: typeof mistaken }));
`,
    output: { healthy: false, migrator: 'object', mistaken: 'function' },
  },
  pg: {
    dependencies: ['pg', '@types/pg', '@types/node'],
    options: node,
    main: `
import { createConsumer, insertProcessed, pgTransaction } from '@orders/idempotent-consumer';
import { memorySource } from '@orders/idempotent-consumer/testing';
import pg from 'pg';

const pool = new pg.Pool();
const consumer = createConsumer(
  { source: memorySource(), transaction: pgTransaction(pool) },
  {
    consumerName: 'billing',
    decode: ${decode},
    handle: async (tx, event, { eventId, afterCommit }) => {
      await tx.query<{ id: string }>('INSERT INTO invoices VALUES ($1, $2)', [event, eventId]);
      afterCommit(() => console.log('billed'));
    },
  },
);
// @ts-expect-error a pool is no transaction
const mistaken = () => insertProcessed(pool, 'billing', []);
await pool.end();
console.log(JSON.stringify({ healthy: consumer.isHealthy(), mistaken: typeof mistaken }));
`,
    output: { healthy: false, mistaken: 'function' },
  },
  kafkajs: {
    dependencies: ['kafkajs', '@types/node'],
    options: node,
    main: `
import type { RecordSource } from '@orders/idempotent-consumer';
import { kafkajsSource } from '@orders/idempotent-consumer/kafkajs';
import { Kafka } from 'kafkajs';

const kafka = new Kafka({ brokers: ['localhost:1'] });
const source: RecordSource = kafkajsSource({ kafka }, { groupId: 'billing', topics: ['orders.events'] });
console.log(JSON.stringify({ groupId: source.groupId, healthy: source.isHealthy() }));
`,
    output: { groupId: 'billing', healthy: false },
  },
  platformatic: {
    // Its declarations have need of these.
    dependencies: ['@platformatic/kafka', '@types/node', '@types/debug@^4'],
    options: node,
    main: `
import type { RecordSource } from '@orders/idempotent-consumer';
import { platformaticSource } from '@orders/idempotent-consumer/platformatic';
import { Consumer, compressionsAlgorithms } from '@platformatic/kafka';

const source: RecordSource = platformaticSource(
  {
    createConsumer: (options) => new Consumer({ clientId: 'billing', bootstrapBrokers: ['localhost:1'], ...options }),
    compressionsAlgorithms,
  },
  { groupId: 'billing', topics: ['orders.events'], groupProtocol: 'consumer' },
);
console.log(JSON.stringify({ groupId: source.groupId, healthy: source.isHealthy() }));
`,
    output: { groupId: 'billing', healthy: false },
  },
  prometheus: {
    dependencies: ['@prometheus-io/client', '@types/node'],
    options: node,
    main: `
import type { ConsumerMetrics } from '@orders/idempotent-consumer';
import { createPrometheusMetrics } from '@orders/idempotent-consumer/prometheus';
import { Registry } from '@prometheus-io/client';

const registry = new Registry();
const metrics: ConsumerMetrics = createPrometheusMetrics({ registry, prefix: 'billing_' });
metrics.handled.inc(2);
console.log(JSON.stringify({ handled: (await registry.metrics()).includes('billing_handled_total 2') }));
`,
    output: { handled: true },
  },
};
