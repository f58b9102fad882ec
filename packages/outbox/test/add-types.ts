import type { Kysely, Transaction } from 'kysely';
import type pg from 'pg';
import { createOutbox, createRelay, lockKey, type OutboxEvent } from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';

// Compiled by add-types.unit.test.ts, never run: each line below a @ts-expect-error must be refused by the compiler.

interface Database {
  things: { id: string };
}
declare const db: Kysely<Database>;
declare const tx: Transaction<Database>;
declare const pool: pg.Pool;
declare const client: pg.PoolClient;
declare const connection: pg.Client;
declare const event: OutboxEvent;

const outbox = createOutbox({ pool });

export const accepted = [
  outbox.add(tx, event),
  outbox.add(tx, [event, event]),
  outbox.add(client, event),
  outbox.add(connection, event),
  lockKey(client, 'k'),
];
export const relay = createRelay({ pool, publisher: createMemoryBroker().publisher });

export const refused = [
  // @ts-expect-error a Kysely instance is a pool, not a transaction
  outbox.add(db, event),
  // @ts-expect-error nor is a pg pool
  outbox.add(pool, event),
  // @ts-expect-error nor does it hold a lock
  lockKey(pool, 'k'),
  // @ts-expect-error an event without a key has no bucket
  outbox.add(tx, { ...event, key: undefined }),
];
