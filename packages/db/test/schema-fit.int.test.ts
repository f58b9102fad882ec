import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  assertSchemaFits,
  contract,
  createDatabase,
  expand,
  type MigrationSet,
  migrateAll,
  migrationSets,
} from '../src/index.ts';
import { createEmptyDatabase } from './databases.ts';

let empty: Awaited<ReturnType<typeof createEmptyDatabase>>;
let database: ReturnType<typeof createDatabase>;
beforeEach(async () => {
  empty = await createEmptyDatabase();
  database = createDatabase({ url: empty.url });
});
afterEach(async () => {
  await database?.close();
  await empty?.drop();
});

/** The migrations of a later release. */
const release = (extra: MigrationSet['migrations']): MigrationSet[] =>
  migrationSets.map((set) =>
    set.name === 'product' ? { ...set, migrations: { ...set.migrations, ...extra } } : set,
  );
const expanding = { '0002-nickname': expand([sql`ALTER TABLE orders ADD COLUMN nickname text`]) };
const contracting = {
  ...expanding,
  '0003-no-metadata': contract(2, [sql`ALTER TABLE orders DROP COLUMN metadata`]),
};

describe('schema and program', () => {
  it('do not fit before anything has been migrated; the error says what to run', async () => {
    await expect(assertSchemaFits(database.db)).rejects.toMatchObject({
      code: 'DB_SCHEMA_BEHIND',
      message: expect.stringMatching(
        /0001-orders-and-payments of product \(schema public\): run "ordersctl migrate"$/,
      ),
    });
  });

  it('that a URL lacks the password which the server asks for is said in words', async () => {
    const url = new URL(empty.url);
    url.password = '';
    const withoutPassword = createDatabase({ url: url.href });
    const missing = { code: 'DB_PASSWORD_MISSING' };
    await expect(assertSchemaFits(withoutPassword.db)).rejects.toMatchObject(missing);
    await expect(migrateAll(url.href)).rejects.toMatchObject(missing);
    await withoutPassword.close();
  });

  it('fit after migrateAll', async () => {
    await migrateAll(empty.url);
    await assertSchemaFits(database.db);
  });

  it('do not fit while a migration of the program’s own release is missing, which the error names', async () => {
    await migrateAll(empty.url);
    await expect(assertSchemaFits(database.db, { sets: release(expanding) })).rejects.toMatchObject({
      code: 'DB_SCHEMA_BEHIND',
      message: 'the database lacks 0002-nickname of product (schema public): run "ordersctl migrate"',
    });
  });

  it('fit, old and new program both, after an expanding migration', async () => {
    await migrateAll(empty.url);
    await migrateAll(empty.url, { sets: release(expanding) });
    await assertSchemaFits(database.db);
    await assertSchemaFits(database.db, { sets: release(expanding), appSchema: 2 });
  });

  it('do not fit an old program after a contracting migration', async () => {
    await migrateAll(empty.url, { sets: release(expanding) });
    await migrateAll(empty.url, { sets: release(contracting) });
    await expect(assertSchemaFits(database.db)).rejects.toMatchObject({
      code: 'DB_APP_TOO_OLD',
      message: 'the database demands app schema 2 or newer, this program has 1: run a newer release',
    });
    await assertSchemaFits(database.db, { sets: release(contracting), appSchema: 2 });
  });
});
