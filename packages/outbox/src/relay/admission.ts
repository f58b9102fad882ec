import { asError, OutboxError } from '../errors.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import { refuseRestored } from '../restored.ts';
import type { LeaseStore } from './lease-store.ts';
import type { OutboxRows } from './outbox-rows.ts';

/**
 * Whether a relay may take part in what it finds in the database. Tries what it will use there.
 * @throws OutboxError `OUTBOX_NOT_MIGRATED`, `OUTBOX_RESTORED`
 */
export async function admit(deps: {
  pool: PoolLike;
  names: OutboxNames;
  rows: OutboxRows;
  store: Pick<LeaseStore, 'view'>;
}): Promise<void> {
  try {
    await deps.rows.read([], 1, 1);
    await deps.rows.mark([]);
    await deps.store.view('');
  } catch (thrown) {
    const cause = asError(thrown);
    if (!notMigrated.includes((cause as { code?: string }).code ?? '')) throw cause;
    const message = `apply the migrations of the outbox: ${cause.message}`;
    throw new OutboxError('OUTBOX_NOT_MIGRATED', message, { cause });
  }
  await refuseRestored(deps.pool, deps.names);
}

/** Undefined table, function, schema. */
const notMigrated = ['42P01', '42883', '3F000'];
