import { Kafka } from 'kafkajs';
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
    query_timeout: 6_000, // the client's own: notices a server that has fallen silent
    lock_timeout: 2_000,
    idle_in_transaction_session_timeout: 5_000,
  });
  const lost = (error: Error) => console.error('a connection was lost:', error.message);
  pool.on('error', lost).on('connect', (client) => client.on('error', lost)); // unheard, either ends the process
  return pool;
}

export const openKafka = () => new Kafka({ clientId: 'shipping-service', brokers: config.kafkaBrokers });
