import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { config } from './config.ts';

/**
 * Connections whose time-outs are shorter than the relay's lease (10 s): a process that hangs in a transaction must
 * not stop the others.
 */
export function openPool(max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: config.databaseUrl,
    max,
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 5_000,
    lock_timeout: 2_000,
    idle_in_transaction_session_timeout: 5_000,
  });
  pool.on('error', (error) => console.error('an idle connection was lost:', error.message));
  return pool;
}

export const openKafka = (): Kafka =>
  new Kafka({ clientId: 'shipping-service', brokers: config.kafkaBrokers, logLevel: logLevel.WARN });
