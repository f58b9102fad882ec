export {
  type ApiKeyOwner,
  createApiKey,
  findApiKey,
  type NewApiKey,
  type RevokedApiKey,
  revokeApiKey,
} from './api-keys.ts';
export { createDatabase, type DatabaseHandle, type DatabaseOptions } from './database.ts';
export { DbError, type DbErrorCode } from './errors.ts';
export { applyGrants, grants, type ServiceRoles, serviceRoles } from './grants.ts';
export { deleteExpiredIdempotencyKeys } from './idempotency-keys.ts';
export { type MigrateOptions, type MigrationReport, migrateAll } from './migrate.ts';
export { type MigrationSet, migrationSets } from './migration-sets.ts';
export { contract, expand } from './migrations/expand-contract.ts';
export { appSchema, productMigrations } from './migrations/index.ts';
export { assertRightsFit } from './rights-fit.ts';
export { assertSchemaFits } from './schema-fit.ts';
export type * from './tables.ts';
export { inTransaction, type Tx } from './transaction.ts';
