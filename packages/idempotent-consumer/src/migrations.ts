import type { Migration } from 'kysely/migration';
import { createInboxAndDeadLetters } from './migrations/0001-inbox-and-dead-letters.ts';

/** Where this package's own Migrator keeps what has been applied. */
export const consumerMigrationTable = 'consumer_migrations';
/** Its lock table. */
export const consumerMigrationLockTable = 'consumer_migrations_lock';

/** Migrations of `processed_events` and `dead_letter_events`, for a Kysely Migrator; applied in the order of names. */
export const consumerMigrations: Readonly<Record<string, Migration>> = {
  '0001-inbox-and-dead-letters': { up: createInboxAndDeadLetters },
};
