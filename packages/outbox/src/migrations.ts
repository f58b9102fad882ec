import type { Migration } from 'kysely/migration';
import { createOutboxTables } from './migrations/0001-outbox.ts';

/** Where this package's own Migrator keeps what has been applied. */
export const outboxMigrationTable = 'outbox_migrations';
/** Its lock table. */
export const outboxMigrationLockTable = 'outbox_migrations_lock';

/** Migrations of this package's tables, for a Kysely Migrator; applied in the order of names. All are expanding. */
export const outboxMigrations: Readonly<Record<string, Migration>> = {
  '0001-outbox': { up: createOutboxTables },
};
