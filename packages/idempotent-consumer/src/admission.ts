import { run } from './ask.ts';
import { ConsumerError } from './errors.ts';
import type { ConsumerTransaction, RunTransaction } from './transaction.ts';

/** PostgreSQL's codes of a table, a column or a schema that is not there. */
const notMigrated = ['42P01', '42703', '3F000'];

/** What the newest migration has brought. */
const looks = `
    SELECT FROM processed_events, scheduled_events, consumer_chunk_starts, consumer_control, consumer_audit
    WHERE EXISTS (SELECT record_hash FROM dead_letter_events) LIMIT 0`;

/**
 * Looks whether the tables are where the consumer will look for them: a consumer without its inbox would try for ever.
 * Anything else that fails is no reason not to begin; the database may be away for the moment.
 * @throws ConsumerError `CONSUMER_NOT_MIGRATED`
 */
export async function assertMigrated<Tx extends ConsumerTransaction>(
  transaction: RunTransaction<Tx>,
): Promise<void> {
  try {
    const signal = new AbortController().signal;
    await transaction((tx) => run(tx, looks), { signal });
  } catch (cause) {
    const { code, message: reason } = cause as { code?: unknown; message?: unknown };
    if (!notMigrated.includes(String(code))) return;
    const message = `${reason}; apply the migrations to the schema that search_path names: consumerSql() or consumerMigratorSettings()`;
    throw new ConsumerError('CONSUMER_NOT_MIGRATED', message, { cause });
  }
}
