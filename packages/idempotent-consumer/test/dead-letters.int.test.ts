import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { addDeadLetter, type DeadLetter } from '../src/index.ts';
import {
  type CountEvent,
  committedOffset,
  countAll,
  countRecord,
  createTestTopic,
  produce,
  soon,
  type Tx,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';

describe('Test 6: Dead letters', () => {
  const db = useDatabase();
  const startConsumer = useConsumers(db);

  it('records that cannot be decoded are kept once, byte for byte, and the consumer goes on', async () => {
    const topic = await createTestTopic('poison');
    const name = uniqueName('poison');
    const value = Buffer.from([0xff, 0x00, 0x7b, 0xc3]);
    const key = Buffer.from([0x00, 0xfe]);
    await produce(topic, [
      countRecord('p1', name),
      { key, value, headers: { type: 'count', raw: Buffer.from([0xff]), twice: ['a', 'b'] } },
      { key: null, value: null, headers: { id: 'claimed' } },
      { key: null, value: 'x', headers: { id: 'nul\u0000', nul: 'a\u0000b' } },
      countRecord('p2', name),
    ]);
    const first = await startConsumer({ topic });
    const { consumerName } = first;
    await expect.poll(() => committedOffset(first.groupId, topic), soon).toBe(5);
    const stored = await db().deadLetters(consumerName);
    const common = {
      worker_id: consumerName,
      topic,
      partition: 0,
      payload: null,
      attempts: 1,
      state: 'DEAD',
    };
    expect(stored).toMatchObject([
      {
        ...common,
        offset: '1',
        event_id: null,
        key,
        value,
        headers: { type: 'count', raw: { base64: '/w==' }, twice: ['a', 'b'] },
        reason: 'header id is missing',
      },
      {
        ...common,
        offset: '2',
        event_id: 'claimed',
        key: null,
        value: null,
        reason: 'header type is missing',
      },
      { ...common, offset: '3', event_id: null, headers: { nul: { base64: 'YQBi' } } },
    ]);
    expect(await db().counted(name)).toBe(2);
    expect(first.consumer.counts()).toMatchObject({ handled: 2, deadLetters: 3 });
    // A broker that has just started may have the consumer try again, and that is a warning too.
    const told = first.logger.entries.filter(({ level, fields }) => level === 'warn' && 'reason' in fields);
    expect(told).toMatchObject([
      {
        message: 'dead letter',
        fields: { topic, partition: 0, offset: '1', reason: 'header id is missing' },
      },
      { fields: { offset: '2' } },
      { fields: { offset: '3' } },
    ]);

    // Everything delivered again changes nothing, not even a row that somebody has dealt with.
    await db().pool.query(`UPDATE dead_letter_events SET state = 'DISCARDED' WHERE worker_id = $1`, [
      consumerName,
    ]);
    const second = await startConsumer({ topic, consumerName });
    await expect.poll(() => committedOffset(second.groupId, topic), soon).toBe(5);
    expect(await db().deadLetters(consumerName)).toEqual(
      stored.map((row) => ({ ...row, state: 'DISCARDED' })),
    );
    expect(second.consumer.counts()).toMatchObject({ handled: 0, duplicates: 2, deadLetters: 0 });
  });

  it('a decoder that throws and an event id that cannot be stored make dead letters too', async () => {
    const topic = await createTestTopic('decoder');
    const name = uniqueName('decoder');
    await produce(topic, [
      countRecord('throws', name),
      countRecord('x'.repeat(300), name),
      countRecord('ok', name),
    ]);
    const { groupId, consumerName } = await startConsumer({
      topic,
      decode: ({ headers }) => {
        const id = String(headers.id);
        if (id === 'throws') throw new Error('surprise \u0000');
        return { kind: 'event', id, event: { id, name } };
      },
    });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(3);
    expect(await db().deadLetters(consumerName)).toMatchObject([
      { offset: '0', reason: 'decode failed: Error: surprise \\0' },
      { offset: '1', event_id: null, reason: 'event id is longer than 256 characters' },
    ]);
    expect(await db().counted(name)).toBe(1);
  });

  const failures: { what: string; reason: string; fail: (tx: Tx) => Promise<unknown> }[] = [
    {
      what: 'an exception',
      reason: 'TypeError: not a number',
      fail: () => Promise.reject(new TypeError('not a number')),
    },
    {
      what: 'a violated constraint',
      reason: '(23502)',
      fail: (tx) => sql`INSERT INTO counters (name, n) VALUES ('x', NULL)`.execute(tx),
    },
    {
      what: 'a failed statement that the handler ignores',
      reason: '(25P02)',
      fail: (tx) => sql`SELECT 1 / 0`.execute(tx).catch(() => undefined),
    },
    {
      what: 'a constraint that is checked at commit',
      reason: '(23503)',
      fail: (tx) => sql`INSERT INTO children VALUES ('nobody')`.execute(tx),
    },
  ];

  it.each(failures)(
    'one event fails by $what: its neighbours are handled once, it alone is a dead letter',
    async ({ reason, fail }) => {
      const topic = await createTestTopic('neighbours');
      const name = uniqueName('neighbours');
      const bad = `${name}-bad`;
      await produce(topic, [
        countRecord(`${name}-1`, name),
        countRecord(bad, bad),
        countRecord(`${name}-2`, name),
        countRecord(`${name}-3`, name),
      ]);
      const handle = async (tx: Tx, event: CountEvent) => {
        await countAll(tx, [event]);
        if (event.name === bad) await fail(tx);
      };
      const retry = { attemptsMax: 1 };
      const first = await startConsumer({ topic, handle, retry });
      const { consumerName } = first;
      await expect.poll(() => committedOffset(first.groupId, topic), soon).toBe(4);

      expect(await db().counted(name)).toBe(3);
      expect(await db().counted(bad)).toBe(0);
      expect(await db().deadLetters(consumerName)).toMatchObject([
        {
          event_id: bad,
          topic,
          partition: 0,
          offset: '1',
          value: Buffer.from(bad),
          reason: expect.stringContaining(reason),
        },
      ]);
      expect(first.consumer.counts()).toMatchObject({
        handled: 3,
        duplicates: 0,
        deadLetters: 1,
        retries: 0,
      });

      // It was taken over, into the dead letters: its record does not come back to the handler.
      const second = await startConsumer({ topic, consumerName, handle, retry });
      await expect.poll(() => committedOffset(second.groupId, topic), soon).toBe(4);
      expect(await db().counted(name)).toBe(3);
      expect(second.consumer.counts()).toMatchObject({ handled: 0, duplicates: 4, deadLetters: 0 });
    },
  );

  it('the sink is told in the transaction that stores the letter, and once', async () => {
    const topic = await createTestTopic('sink');
    await produce(topic, [{ key: null, value: 'x', headers: {} }]);
    const told: DeadLetter[] = [];
    const deadLetterSink = {
      add: async (tx: Tx, letters: readonly DeadLetter[]) => {
        told.push(...letters);
        await countAll(tx, [{ id: 'sink', name: topic }]);
        if (told.length === 1) throw new Error('sink is not ready');
      },
    };
    const { consumer, logger, groupId, consumerName } = await startConsumer({
      topic,
      deps: { deadLetterSink },
    });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(1);
    expect(await db().counted(topic)).toBe(1);
    expect(await db().deadLetters(consumerName)).toHaveLength(1);
    expect(told).toMatchObject([{ offset: '0' }, { offset: '0', topic, reason: 'header type is missing' }]);
    expect(consumer.counts().retries).toBe(1);
    expect(logger.entries.map((entry) => entry.level)).toContain('error');
  });

  it('addDeadLetter: another failure of the same record, or of the same round, is DEAD again in its row', async () => {
    const consumerName = uniqueName('executor');
    const record: DeadLetter = {
      eventId: 'e',
      consumerName,
      topic: 't',
      partition: 3,
      offset: '9007199254740993',
      key: null,
      value: Buffer.from('v'),
      headers: {},
      payload: null,
      reason: 'first',
      attempts: 3,
    };
    const round: DeadLetter = {
      ...record,
      topic: null,
      partition: null,
      offset: null,
      value: null,
      payload: { name: 'a\u0000', 'b\ud800': [1] },
    };
    const add = (letter: DeadLetter) => db().transaction((tx) => addDeadLetter(tx, letter));
    expect(await add(record)).toMatchObject({ isNew: true });
    expect(await add(round)).toMatchObject({ isNew: true });
    await db().pool.query(`UPDATE dead_letter_events SET state = 'DUE' WHERE worker_id = $1`, [consumerName]);
    expect(await add({ ...record, reason: 'second', attempts: 4 })).toMatchObject({ isNew: false });
    expect(await add({ ...round, reason: 'second' })).toMatchObject({ isNew: false });
    expect(await add({ ...round, round: 2 })).toMatchObject({ isNew: true });

    expect(await db().deadLetters(consumerName)).toMatchObject([
      { offset: '9007199254740993', state: 'DEAD', reason: 'second', attempts: 4, event_id: 'e' },
      { offset: null, round: 1, state: 'DEAD', reason: 'second', payload: { name: 'a\\0', 'b\ufffd': [1] } },
      { offset: null, round: 2, state: 'DEAD', reason: 'first' },
    ]);
  });
});
