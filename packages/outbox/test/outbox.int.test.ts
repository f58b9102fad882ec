import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketOf, createOutbox, type OutboxTransaction } from '../src/index.ts';
import { bucketVectors } from './bucket-vectors.ts';
import { type AnyKysely, eventFor, eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
const outbox = createOutbox();

beforeAll(async () => {
  database = await openTestDatabase();
  await sql`CREATE TABLE things (id uuid PRIMARY KEY)`.execute(database.db);
});
afterAll(() => database?.close());

const rowsOf = async (topic: string) => {
  const { rows } = await database.pool.query('SELECT * FROM outbox WHERE topic = $1 ORDER BY seq', [topic]);
  return rows;
};
const insertThing = (tx: AnyKysely) => sql`INSERT INTO things VALUES (${randomUUID()})`.execute(tx);

describe('Test 3: Transactional Outbox', () => {
  it('a rollback leaves neither the change nor its event', async () => {
    const rollback = database.db.transaction().execute(async (tx) => {
      await insertThing(tx);
      await outbox.add(tx, eventsFor('rolled-back', 3));
      const { rows } = await sql`SELECT 1 FROM outbox WHERE topic = 'rolled-back'`.execute(tx);
      expect(rows).toHaveLength(3);
      throw new Error('the caller gives up');
    });
    await expect(rollback).rejects.toThrow('the caller gives up');
    expect(await rowsOf('rolled-back')).toEqual([]);
  });

  it('a rollback to a savepoint leaves the events before it', async () => {
    const tx = await database.db.startTransaction().execute();
    await outbox.add(tx, eventFor('savepoint', 'before'));
    const saved = await tx.savepoint('here').execute();
    await outbox.add(saved, eventFor('savepoint', 'after'));
    const back = await saved.rollbackToSavepoint('here').execute();
    await back.commit().execute();
    expect((await rowsOf('savepoint')).map((row) => row.key)).toEqual(['before']);
  });
});

describe('add', () => {
  it('writes all columns, with the time of writing and the transaction that wrote', async () => {
    const event = eventFor('columns', 'acme:c-1', 7, { headers: { ce_id: 'x', quote: `"'\\` } });
    const bytes = eventFor('columns', 'b', 8, { payload: Uint8Array.of(0, 255) });
    await database.db.transaction().execute(async (tx) => {
      await outbox.add(tx, [event]);
      await outbox.add(tx, bytes);
    });
    const [json, binary] = await rowsOf('columns');
    expect(json).toMatchObject({
      id: event.id,
      bucket: bucketOf('acme:c-1'),
      topic: 'columns',
      key: 'acme:c-1',
      type: 'thing.happened.v1',
      aggregatetype: 'thing',
      aggregateid: 'acme:c-1',
      payload: { n: 7 },
      value: null,
      headers: { ce_id: 'x', quote: `"'\\` },
      published_at: null,
    });
    expect(binary).toMatchObject({ payload: null, value: Buffer.of(0, 255), xid: json.xid });
    expect(Number(binary.seq)).toBeGreaterThan(Number(json.seq));
    expect(Number(binary.created_at)).toBeGreaterThanOrEqual(Number(json.created_at));
  });

  it('keeps the order of many events in one statement', async () => {
    const events = eventsFor('order', 1000);
    let statements = 0;
    await database.db.transaction().execute(async (tx) => {
      await insertThing(tx);
      const counting: OutboxTransaction = {
        isTransaction: true,
        executeQuery: (query) => {
          statements += 1;
          return tx.executeQuery(query);
        },
      };
      await outbox.add(counting, events);
    });
    expect((await rowsOf('order')).map((row) => row.id)).toEqual(events.map((event) => event.id));
    expect(statements).toBe(1);
  });

  it('has nothing to do for no events', async () => {
    expect(await database.db.transaction().execute((tx) => outbox.add(tx, []))).toEqual([]);
  });

  it('puts a row into the bucket that bucketOf says', async () => {
    const keys = [...bucketVectors.map(([key]) => key), ...Array.from({ length: 200 }, () => randomUUID())];
    await database.add(keys.map((key) => eventFor('buckets', key)));
    const rows = await rowsOf('buckets');
    expect(rows.map((row) => [row.key, row.bucket])).toEqual(keys.map((key) => [key, bucketOf(key)]));
    expect(rows.slice(0, bucketVectors.length).map((row) => row.bucket)).toEqual(
      bucketVectors.map(([, bucket]) => bucket),
    );
  });

  it.each([
    ['id', { id: 'not-a-uuid' }],
    ['topic', { topic: 'no spaces' }],
    ['topic', { topic: undefined as unknown as string }],
    ['key', { key: 'zero\0' }],
    ['orderingKey', { orderingKey: 'x'.repeat(1_001) }],
    ['aggregateType', { aggregateType: 'ü'.repeat(501) }],
    ['payload', { payload: { n: 1n } }],
    ['orderingKey', { orderingKey: 'zero\0' }],
    ['payload', { payload: undefined }],
    ['payload', { payload: { text: 'zero\0' } }],
    ['payload', { payload: ['half a pair: \ud83c'] }],
    ['headers', { headers: { n: 'zero\0' } }],
    ['headers.n', { headers: { n: 1 as unknown as string } }],
  ])('refuses an event whose %s is wrong, and names it; the transaction can go on', async (field, wrong) => {
    const event = { ...eventFor('invalid', 'k'), ...wrong };
    await database.db.transaction().execute(async (tx) => {
      await expect(outbox.add(tx, event)).rejects.toMatchObject({
        code: 'OUTBOX_EVENT_INVALID',
        message: expect.stringContaining(field),
      });
      await outbox.add(tx, eventFor('valid', 'k'));
    });
    expect(await database.count(`topic = 'invalid'`)).toBe(0);
  });
});

describe('add outside a transaction', () => {
  const refused = { code: 'OUTBOX_NOT_IN_TRANSACTION' };
  const forced = (connection: unknown) => connection as OutboxTransaction;

  it('is refused for a connection and for a pool, and writes nothing', async () => {
    const onConnection = database.db
      .connection()
      .execute((connection) => outbox.add(forced(connection), eventsFor('outside', 2)));
    await expect(onConnection).rejects.toMatchObject(refused);
    await expect(outbox.add(forced(database.db), eventFor('outside', 'k'))).rejects.toMatchObject(refused);
    expect(await rowsOf('outside')).toEqual([]);
  });

  it('is refused on a connection whose transaction is over', async () => {
    await database.db.connection().execute(async (connection) => {
      await sql`BEGIN`.execute(connection);
      await outbox.add(forced(connection), eventFor('over', 'inside'));
      await sql`COMMIT`.execute(connection);
      await expect(outbox.add(forced(connection), eventFor('over', 'after'))).rejects.toMatchObject(refused);
    });
    expect((await rowsOf('over')).map((row) => row.key)).toEqual(['inside']);
  });
});

describe('the table', () => {
  const partitionsOf = async (topic: string) => {
    const { rows } = await database.pool.query(
      `SELECT DISTINCT tableoid::regclass::text AS name FROM outbox WHERE topic = $1`,
      [topic],
    );
    return rows.map((row) => row.name);
  };

  it('is partitioned by day, and has a partition for whatever day comes', async () => {
    await database.add(eventFor('today', 'k'));
    const [today] = await partitionsOf('today');
    expect(today).toMatch(/^outbox_p\d{8}$/);

    await sql`
      INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at)
      VALUES (gen_random_uuid(), 0, 'far', 'k', 't', 't', 't', '{}', now() + interval '20 days')`.execute(
      database.db,
    );
    expect(await partitionsOf('far')).toEqual(['outbox_default']);
  });

  it('gets partitions ahead, once, and leaves a day alone that lives in the default partition', async () => {
    const create = async (days: number) => {
      const { rows } = await database.pool.query('SELECT outbox_create_partitions($1) AS n', [days]);
      return rows[0].n;
    };
    await sql`
      INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at)
      VALUES (gen_random_uuid(), 0, 'early', 'k', 't', 't', 't', '{}', now() + interval '8 days')`.execute(
      database.db,
    );
    expect(await create(7)).toBe(0); // the migration made these
    expect(await create(10)).toBe(2);
    expect(await create(10)).toBe(0);
    expect(await partitionsOf('early')).toEqual(['outbox_default']);
  });
});
