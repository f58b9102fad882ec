import { Kafka } from 'kafkajs';
import pg from 'pg';
import { config } from './config.ts';

/** Time-outs of the server and of the client: neither a lock nor a network that falls silent holds us up for long. */
export function openPool(max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: config.databaseUrl,
    max,
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 5_000,
    query_timeout: 6_000,
    lock_timeout: 2_000,
    idle_in_transaction_session_timeout: 5_000,
  });
  const lost = (error: Error) => console.error('a connection was lost:', error.message);
  pool.on('error', lost).on('connect', (client) => client.on('error', lost)); // unheard, either ends the process
  return pool;
}

export const openKafka = () => new Kafka({ clientId: 'notification-service', brokers: config.kafkaBrokers });
