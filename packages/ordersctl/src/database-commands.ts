import {
  assertSchemaFits,
  createApiKey,
  createDatabase,
  type DatabaseHandle,
  migrateAll,
  revokeApiKey,
} from '@orders/db';
import { readDatabaseConfig } from './config.ts';
import { OrdersctlError } from './errors.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

/** `ordersctl migrate` */
export async function migrate(output: Output, options: CommonOptions): Promise<void> {
  const { DATABASE_URL } = readDatabaseConfig();
  const report = await migrateAll(DATABASE_URL).catch(unreachable);
  const applied = report.applied.map(({ set, migration }) => `applied ${migration} of ${set}`);
  const newer = report.newer.map(
    ({ set, migration }) => `found ${migration} of ${set}, applied by a newer release`,
  );
  answer(output, options, report, [
    ...newer,
    ...applied,
    applied.length === 0 ? 'nothing to apply' : 'the database is up to date',
  ]);
}

/** Kafka keys and log lines carry tenants: letters, digits and `._-`, so that they need no quoting anywhere. */
const tenantPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const nameLengthMax = 200;

/** `ordersctl keys create` */
export async function createKey(
  output: Output,
  options: CommonOptions & { tenant: string; name: string },
): Promise<void> {
  const { tenant: tenantId, name } = options;
  if (!tenantPattern.test(tenantId)) {
    const message = 'a tenant is 1 to 63 letters, digits and . _ - and begins with a letter or digit';
    throw new OrdersctlError('ORDERSCTL_USAGE', message);
  }
  if (name === '' || name.length > nameLengthMax) {
    throw new OrdersctlError('ORDERSCTL_USAGE', `a name has 1 to ${nameLengthMax} characters`);
  }
  const { id, key } = await withDatabase(({ db }) => createApiKey(db, { tenantId, name }));
  answer(output, options, { id, key, tenantId, name }, [
    key,
    `Key ${id} of tenant ${tenantId}. It is shown this once; store it now.`,
  ]);
}

/** `ordersctl keys revoke` */
export async function revokeKey(output: Output, options: CommonOptions & { id: string }): Promise<void> {
  const revoked = await withDatabase(({ db }) => revokeApiKey(db, { id: options.id }));
  const { id, tenantId, name, revokedAt } = revoked;
  answer(output, options, revoked, [
    `Key ${id} (${name}) of tenant ${tenantId} has been revoked since ${revokedAt.toISOString()}; order-api remembers it for API_KEY_REMEMBER_MS, 10 s by default.`,
  ]);
}

/** A connection for one command, to a database that has been migrated. */
export async function withDatabase<R>(use: (database: DatabaseHandle) => Promise<R>): Promise<R> {
  const { DATABASE_URL } = readDatabaseConfig();
  const database = createDatabase({ url: DATABASE_URL, poolMax: 1, applicationName: 'ordersctl' });
  try {
    await assertSchemaFits(database.db);
    return await use(database);
  } catch (error) {
    return unreachable(error as Error);
  } finally {
    await database.close();
  }
}

const networkErrors = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH']);

/** Says that it is PostgreSQL that does not answer, where the driver names only an address. */
function unreachable(error: Error & { code?: string }): never {
  const noAnswer = error.code === undefined && /timeout/i.test(error.message);
  if (!noAnswer && !networkErrors.has(error.code ?? '')) throw error;
  const reason = error.message === '' ? error.code : error.message; // empty when several addresses were tried
  throw new OrdersctlError('ORDERSCTL_UNREACHABLE', `PostgreSQL cannot be reached: ${reason}`, {
    cause: error,
  });
}
