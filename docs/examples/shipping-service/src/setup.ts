import { outboxMigrationLockTable, outboxMigrations, outboxMigrationTable } from '@orders/outbox/migrations';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { config } from './config.ts';
import { openKafka, openPool } from './connections.ts';

// Run once per deployment, before the service: our own table, the outbox's tables, the topic. Safe to run again.
const pool = openPool(1);
await pool.query(`
  CREATE TABLE IF NOT EXISTS shipments (
    id uuid PRIMARY KEY,
    destination text NOT NULL,
    carrier text,
    state text NOT NULL DEFAULT 'CREATED',
    created_at timestamptz NOT NULL DEFAULT now()
  )`);

const db = new Kysely({ dialect: new PostgresDialect({ pool }) });
const { error } = await new Migrator({
  db,
  provider: { getMigrations: async () => ({ ...outboxMigrations }) },
  migrationTableName: outboxMigrationTable,
  migrationLockTableName: outboxMigrationLockTable,
}).migrateToLatest();
await db.destroy();
if (error) throw error;

const admin = openKafka().admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic: config.topic, numPartitions: 6 }], waitForLeaders: false });
await admin.disconnect();
