import { consumerSql } from '@orders/idempotent-consumer/migrations';
import { outboxSql } from '@orders/outbox/migrations';
import { config } from './config.ts';
import { openKafka, openPool } from './connections.ts';

// Run before the service, once per deployment: our own table, both libraries' tables, our topic. Safe to run again.
const pool = openPool(1);
await pool.query(`
  CREATE TABLE IF NOT EXISTS notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id text NOT NULL,
    customer_id text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
  )`);
for (const [table, sql] of [
  ['outbox_migrations', outboxSql],
  ['consumer_migrations', consumerSql],
] as const) {
  await pool.query(
    `CREATE TABLE IF NOT EXISTS ${table} (name varchar(255) PRIMARY KEY, timestamp varchar(255))`,
  );
  const { rows } = await pool.query(`SELECT coalesce(max(name), '') AS after FROM ${table}`);
  await pool.query(sql({ after: rows[0].after })); // one transaction
}
await pool.end();

const admin = openKafka().admin();
await admin.connect();
const { notificationsTopic: topic } = config;
if (!(await admin.listTopics()).includes(topic))
  await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: false });
await admin.disconnect();
console.log('ready: the tables, and the topic', topic);
