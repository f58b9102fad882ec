import { outboxSql } from '@orders/outbox/migrations';
import { config } from './config.ts';
import { openKafka, openPool } from './connections.ts';

// Run before the service, once per deployment: our own table, the outbox's tables, the topic. Safe to run again.
const pool = openPool(1);
await pool.query(`
  CREATE TABLE IF NOT EXISTS shipments (
    id uuid PRIMARY KEY,
    destination text NOT NULL,
    carrier text,
    state text NOT NULL DEFAULT 'CREATED',
    created_at timestamptz NOT NULL DEFAULT now()
  )`);
await pool.query(
  'CREATE TABLE IF NOT EXISTS outbox_migrations (name varchar(255) PRIMARY KEY, timestamp varchar(255))',
);
const { rows } = await pool.query("SELECT coalesce(max(name), '') AS after FROM outbox_migrations");
await pool.query(outboxSql({ after: rows[0].after })); // one transaction
await pool.end();

const admin = openKafka().admin();
await admin.connect();
const { topic } = config;
if (!(await admin.listTopics()).includes(topic))
  await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: false });
await admin.disconnect();
console.log('ready: the tables, and the topic', topic);
