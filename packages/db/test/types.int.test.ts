import { readNonsense } from '@orders/dev-stack/nonsense-types';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createApiKey, createDatabase, findApiKey, migrateAll } from '../src/index.ts';
import { assertSchemaFits } from '../src/schema-fit.ts';
import { createEmptyDatabase, orderRow } from './databases.ts';

// Somebody in the process has told pg to read every type as nonsense. A vitest file has a process of its own.
let database: Awaited<ReturnType<typeof createEmptyDatabase>>;
let endNonsense: () => void;
beforeAll(async () => {
  database = await createEmptyDatabase();
  endNonsense = readNonsense();
});
afterAll(async () => {
  endNonsense?.();
  await database?.drop();
});

const migrated = () => migrateAll(database.url).catch((error: Error) => error);

it('a database is migrated, fits, and is read, whatever pg was told in this process', async () => {
  expect(await migrated()).toMatchObject({ applied: { length: expect.any(Number) }, newer: [] });
  expect(await migrated()).toEqual({ applied: [], newer: [] });
  const { db, pool, close } = createDatabase({ url: database.url });
  try {
    await assertSchemaFits(db);
    const { rows } = await pool.query(
      `SELECT 1::smallint AS i2, -2::int AS i4, 3::bigint AS i8, 1.5::float8 AS f8, 1.50::numeric AS n, true AS b, 'x' AS t,
              'y'::varchar AS v, 'z'::name AS name, '{"a":[1]}'::jsonb AS jb, '[2]'::json AS j, '\\x00ff'::bytea AS bytes,
              '0a1b2c3d-0000-4000-8000-00000000000f'::uuid AS id, '7'::xid8 AS xid,
              '2026-01-02 03:04:05.678Z'::timestamptz AS at, '{a,NULL}'::text[] AS ts, '{1,2}'::int[] AS is, NULL::int AS none`,
    );
    expect(rows).toEqual([
      {
        ...{
          i2: 1,
          i4: -2,
          i8: 3,
          f8: 1.5,
          n: '1.50',
          b: true,
          t: 'x',
          v: 'y',
          name: 'z',
          jb: { a: [1] },
          j: [2],
        },
        ...{ bytes: Buffer.from([0, 255]), id: '0a1b2c3d-0000-4000-8000-00000000000f', xid: '7' },
        ...{ at: new Date('2026-01-02T03:04:05.678Z'), ts: ['a', null], is: [1, 2], none: null },
      },
    ]);
    const { id, key } = await createApiKey(db, { tenantId: 'acme', name: 'till' });
    expect(await findApiKey(db, key)).toEqual({ keyId: id, tenantId: 'acme' });
    await db.insertInto('orders').values(orderRow()).execute();
    expect(await db.selectFrom('orders').selectAll().execute()).toEqual([
      expect.objectContaining({ version: 1, total_minor: 500, items: [], created_at: expect.any(Date) }),
    ]);
    await expect(pool.query('SELECT 9007199254740993::bigint')).rejects.toMatchObject({
      code: 'DB_INTEGER_UNSAFE',
    });
  } finally {
    await close();
  }
});
