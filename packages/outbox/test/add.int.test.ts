import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOutbox, lockKey, type OutboxTransaction } from '../src/index.ts';
import { jsonbBytes } from '../src/jsonb-bytes.ts';
import { eventFor, eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
let client: pg.Client;
const outbox = createOutbox();

beforeAll(async () => {
  database = await openTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await database?.close();
});

const rowsOf = async (topic: string) => {
  const { rows } = await database.pool.query('SELECT * FROM outbox WHERE topic = $1 ORDER BY seq', [topic]);
  return rows;
};
const refused = { code: 'OUTBOX_NOT_IN_TRANSACTION' };
const anEvent = { topic: 'plain', key: 'k', type: 't', payload: {} };

/** Runs `work` between BEGIN and `end`. */
async function between<T>(work: (tx: pg.Client) => Promise<T>, end = 'COMMIT'): Promise<T> {
  await client.query('BEGIN');
  try {
    return await work(client);
  } finally {
    await client.query(end);
  }
}

describe('add with a plain pg client', () => {
  it('writes between BEGIN and COMMIT, in order, and nothing that is rolled back', async () => {
    const events = eventsFor('pg', 5);
    await between((tx) => outbox.add(tx, events.slice(0, 3)));
    await between((tx) => outbox.add(tx, events.slice(3, 4)), 'ROLLBACK');
    await between((tx) => outbox.add(tx, events.slice(4)));
    const kept = [0, 1, 2, 4].map((i) => events[i]?.id);
    expect((await rowsOf('pg')).map((row) => row.id)).toEqual(kept);
  });

  it('is refused outside a transaction and after it, also after a savepoint', async () => {
    await expect(outbox.add(client, eventFor('outside', 'k'))).rejects.toMatchObject(refused);
    await between(async (tx) => {
      await tx.query('SAVEPOINT one');
      await outbox.add(tx, eventFor('inside', 'k'));
    });
    await expect(outbox.add(client, eventFor('outside', 'k'))).rejects.toMatchObject(refused);
    expect(await rowsOf('outside')).toEqual([]);
    expect(await rowsOf('inside')).toHaveLength(1);
  });

  it('refuses a pool, even one whose only connection is in a transaction', async () => {
    const pool = database.openPool({ max: 1 });
    await pool.query('BEGIN');
    const forced = pool as unknown as OutboxTransaction;
    await expect(outbox.add(forced, eventFor('pool', 'k'))).rejects.toMatchObject(refused);
    await pool.query('COMMIT');
    expect(await rowsOf('pool')).toEqual([]);
  });
});

describe('an event', () => {
  it('needs topic, key, type and payload; it gets an id that is returned and published as a header', async () => {
    const given = eventFor('plain', 'k');
    const ids = await between((tx) =>
      outbox.add(tx, [anEvent, given, { ...anEvent, headers: { id: 'own' } }]),
    );
    const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    expect(ids).toEqual([expect.stringMatching(uuidV7), given.id, expect.stringMatching(uuidV7)]);
    const rows = await rowsOf('plain');
    expect(rows.map((row) => row.id)).toEqual(ids);
    expect(rows[0]).toMatchObject({ aggregateid: 'k', aggregatetype: 'plain', headers: { id: ids[0] } });
    expect(rows.map((row) => row.headers.id)).toEqual([ids[0], undefined, 'own']);
  });

  it('promises order for its ordering key, which is in the column that Debezium reads', async () => {
    await between((tx) => outbox.add(tx, { ...anEvent, topic: 'ordering', orderingKey: 'order-1' }));
    expect(await rowsOf('ordering')).toMatchObject([{ key: 'k', aggregateid: 'order-1' }]);
  });

  it('carries the trace it was added in, unless it has its own', async () => {
    const trace = {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'a=b',
    };
    const traced = createOutbox({ traceContext: () => trace });
    const own = { traceparent: '00-11111111111111111111111111111111-2222222222222222-00' };
    const topic = 'traced';
    await between((tx) => traced.add(tx, [eventFor(topic, 'a'), eventFor(topic, 'b', 0, { headers: own })]));
    const untraced = createOutbox({ traceContext: () => undefined });
    await between((tx) => untraced.add(tx, eventFor(topic, 'c')));
    const headers = (await rowsOf(topic)).map((row) => row.headers);
    expect(headers).toEqual([{ n: '0', ...trace }, own, { n: '0' }]);
  });

  it('is refused when its record would be larger than allowed, by id, size and limit; the transaction goes on', async () => {
    const small = createOutbox({ recordBytesMax: 200 });
    const topic = 'sized';
    await between(async (tx) => {
      for (const payload of ['x'.repeat(200), Buffer.alloc(200), Array.from({ length: 70 }, () => 1)]) {
        const event = eventFor(topic, 'k', 0, { payload });
        await expect(small.add(tx, event)).rejects.toMatchObject({
          code: 'OUTBOX_EVENT_TOO_LARGE',
          message: expect.stringMatching(new RegExp(`${event.id}.* 2\\d\\d bytes.* 200 `)),
        });
      }
      await small.add(tx, eventFor(topic, 'k', 0, { payload: 'x'.repeat(150) }));
    });
    expect(await rowsOf(topic)).toHaveLength(1);
  });

  it('has the size that is sent, whatever JSON it is', async () => {
    const number = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.constantFrom(1e300, -1.5e-300, 5e-324, -0, 1e21, 1.25e-7),
    );
    const { json } = fc.letrec<{ json: unknown }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        number.filter(Number.isFinite),
        fc.string({
          unit: fc.constantFrom('\\', '"', ':', ',', 'e', '1', '+', '\n', '\u0001', 'é', '😀', '['),
        }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('json'), { maxLength: 5 }),
        fc.dictionary(fc.string({ unit: fc.constantFrom('a', '"', '\\', ':', 'é') }), tie('json'), {
          maxKeys: 5,
        }),
      ),
    }));
    const values = fc.sample(json, 2_000).map((value) => JSON.stringify(value));
    const { rows } = await client.query(
      'SELECT octet_length(v::jsonb::text) AS bytes FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n',
      [values],
    );
    expect(values.map(jsonbBytes)).toEqual(rows.map(({ bytes }) => bytes));
  });

  it.each([
    ['numbers that have 301 digits each', Array.from({ length: 4_000 }, () => 1e300)],
    ['20 MB of text', 'x'.repeat(20_000_000)],
    ['20 MB of escapes', '"'.repeat(10_000_000)],
  ])('is refused when it is too large: %s', async (_, payload) => {
    await expect(outbox.add(client, eventFor('too-large', 'k', 0, { payload }))).rejects.toMatchObject({
      code: 'OUTBOX_EVENT_TOO_LARGE',
    });
  });

  it('of almost a megabyte passes by default, and a larger one does not', async () => {
    const sized = (bytes: number) => eventFor('default-size', 'k', 0, { payload: 'x'.repeat(bytes) });
    await between((tx) => outbox.add(tx, sized(899_000)));
    await expect(outbox.add(client, sized(900_000))).rejects.toMatchObject({
      code: 'OUTBOX_EVENT_TOO_LARGE',
    });
  });
});

describe('lockKey', () => {
  it('makes a second writer of the same key wait for the end of the first, and no writer of another', async () => {
    const second = new pg.Client({ connectionString: database.url });
    await second.connect();
    await client.query('BEGIN');
    await lockKey(client, 'order-1');
    await second.query('BEGIN');
    await lockKey(second, 'order-2');
    let has = false;
    const waiting = lockKey(second, 'order-1').then(() => {
      has = true;
    });
    const waiters = async () => {
      const { rows } = await database.pool.query(
        `SELECT count(*)::int AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted`,
      );
      return rows[0].n;
    };
    await expect.poll(waiters).toBe(1);
    expect(has).toBe(false);
    await client.query('COMMIT');
    await waiting;
    await second.query('COMMIT');
    await second.end();
  });

  it('works in a Kysely transaction, and is refused outside of one, where it would hold nothing', async () => {
    await database.db.transaction().execute((tx) => lockKey(tx, 'k'));
    await expect(lockKey(client, 'k')).rejects.toMatchObject(refused);
  });
});
