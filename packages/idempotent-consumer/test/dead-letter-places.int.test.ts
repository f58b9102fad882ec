import { describe, expect, it } from 'vitest';
import { addDeadLetter, type DeadLetter } from '../src/index.ts';
import { type MemoryRecord, memorySource } from '../src/testing/memory-source.ts';
import { countUp, soon, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';
import { olderLetter, storeAsOlderVersion } from './older-version.ts';

/** The same place again, as after a topic was made anew or a cluster was switched. */
const at = (offset: string, record: MemoryRecord): MemoryRecord => ({
  timestampMs: 1_000,
  ...record,
  offset,
});
const poison = (value: string | null, headers: MemoryRecord['headers'] = {}): MemoryRecord =>
  at('0', { key: null, value, headers });

describe('the place of a dead letter, where another record comes to stand', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  /** All letters of a consumer in the order in which they failed; `place` is where its record stood. */
  async function letters(consumerName: string) {
    const { rows } = await db().pool.query(
      `SELECT *, convert_from(value, 'UTF8') AS text, coalesce("offset"::text, former_place ->> 'offset') AS place
       FROM dead_letter_events WHERE worker_id = $1 ORDER BY failed_at, id`,
      [consumerName],
    );
    return rows;
  }

  const failing = () => {
    throw new Error('no');
  };

  it('an undecodable record is never lost and never overwritten; a redelivery changes nothing', async () => {
    const { source, consumerName, consumer } = await start({ handle: countUp });
    const [first, second, third] = ['first', 'second', 'third'].map((text) => poison(text)) as [
      MemoryRecord,
      MemoryRecord,
      MemoryRecord,
    ];
    for (const record of [first, first, second, second, third, third])
      expect(await source.deliver([record])).toEqual(['accepted']);
    const stored = await letters(consumerName);
    expect(stored).toMatchObject([
      { text: 'first', offset: null, place: '0', former_place: { offset: '0', round: 1 }, state: 'DEAD' },
      { text: 'second', offset: null, place: '0', state: 'DEAD' },
      { text: 'third', offset: '0', place: '0', former_place: null, state: 'DEAD' },
    ]);
    expect(consumer.counts()).toMatchObject({ deadLetters: 3, retries: 0 });
    // Back and forth between clusters.
    for (const record of [second, first, third, first]) await source.deliver([record]);
    expect(await letters(consumerName)).toEqual(stored);
    expect(consumer.counts()).toMatchObject({ deadLetters: 3, retries: 0 });
  });

  it.each([
    { what: 'its headers', other: { headers: { h: Buffer.from('2') } } },
    { what: 'a header that is null and not empty', other: { headers: { h: null } } },
    { what: 'its time', other: { timestampMs: 2_000 } },
    { what: 'a key that is empty and not null', other: { key: '' } },
    { what: 'a value that is empty and not null', other: { value: '' } },
  ])('records that differ only by $what are two', async ({ other }) => {
    const { source, consumerName } = await start({ handle: countUp });
    const record = poison(null, { h: Buffer.from('') });
    await source.deliver([record]);
    await source.deliver([{ ...record, ...other }]);
    expect(await letters(consumerName)).toHaveLength(2);
  });

  it('an event whose handler fails at a place that is taken keeps its own letter, and is told of to the sink', async () => {
    const name = uniqueName('taken');
    const told: (string | null)[] = [];
    const deps = {
      deadLetterSink: {
        add: async (_: unknown, all: readonly DeadLetter[]) => {
          told.push(...all.map(({ eventId }) => eventId));
        },
      },
    };
    const { source, consumerName } = await start({ handle: failing, retry: { attemptsMax: 1 }, deps });
    await source.deliver([at('0', counting(`${name}-1`, `${name}-1`))]);
    await source.deliver([at('0', counting(`${name}-2`, `${name}-2`))]);
    await source.deliver([at('0', counting(`${name}-3`, `${name}-3`))]);
    // One that is tried again first finds the place taken when its tries are spent.
    await source.deliver([at('0', counting(`${name}-2`, `${name}-2`))]);
    expect(await letters(consumerName)).toMatchObject([
      { event_id: `${name}-1`, text: `${name}-1`, offset: null },
      { event_id: `${name}-2`, text: `${name}-2`, offset: null },
      { event_id: `${name}-3`, text: `${name}-3`, offset: '0' },
    ]);
    expect(told).toEqual([`${name}-1`, `${name}-2`, `${name}-3`]);
  });

  it('an event whose tries are spent later than those of the next record at its place has a letter as well', async () => {
    const name = uniqueName('later');
    let isFirstTried = false;
    const { source, consumerName } = await start({
      retry: { attemptsMax: 2 },
      handle: (_, { id }, { attempt }) => {
        if (id === `${name}-1` && attempt === 2) isFirstTried = true;
        throw new Error(`no ${id}`);
      },
      routeError: ({ eventId }) => (eventId === `${name}-2` ? 'dead-letter' : 'retry'),
    });
    await source.deliver([at('0', counting(`${name}-1`, `${name}-1`))]);
    await source.deliver([at('0', counting(`${name}-2`, `${name}-2`))]);
    await expect.poll(() => isFirstTried, soon).toBe(true);
    await expect.poll(() => letters(consumerName), soon).toHaveLength(2);
    const stored = await letters(consumerName);
    expect(new Set(stored.map(({ event_id, text }) => `${event_id} ${text}`))).toEqual(
      new Set([`${name}-1 ${name}-1`, `${name}-2 ${name}-2`]),
    );
    const { rows } = await db().pool.query(
      `SELECT d.id FROM dead_letter_events d JOIN scheduled_events s ON s.seq = d.scheduled_seq
       WHERE d.worker_id = $1 AND s.event_id = d.event_id`,
      [consumerName],
    );
    expect(rows).toHaveLength(2);
  });

  it('a row of an older version gives up its place to another record, and keeps it for its own', async () => {
    const { source, consumerName, consumer } = await start({ handle: countUp });
    const { topics } = source;
    const older = olderLetter({ consumerName, topic: topics[0] as string, offset: '0', value: 'old' });
    await storeAsOlderVersion(db().pool, older);
    await source.deliver([poison('old')]);
    expect(await letters(consumerName)).toMatchObject([{ text: 'old', offset: '0', record_hash: null }]);
    // The same key and value, other headers; then another value; then the older one again.
    await source.deliver([poison('old', { h: Buffer.from('other') })]);
    await source.deliver([poison('new')]);
    await source.deliver([poison('old')]);
    expect(await letters(consumerName)).toMatchObject([
      { text: 'old', offset: null, headers: {} },
      { text: 'old', offset: null, headers: { h: 'other' } },
      { text: 'new', offset: '0' },
    ]);
    expect(consumer.counts()).toMatchObject({ deadLetters: 2, retries: 0 });
  });

  it('an older version beside this one stores its letters, and leaves those that are there', async () => {
    const { source, consumerName } = await start({ handle: countUp });
    const topic = source.topics[0] as string;
    await source.deliver([poison('first')]);
    const store = (offset: string, value: string) =>
      storeAsOlderVersion(db().pool, olderLetter({ consumerName, topic, offset, value }));
    expect(await store('0', 'first')).toEqual([]);
    expect(await store('1', 'by the older version')).toEqual([`0:1:${topic}`]);
    await source.deliver([at('1', { key: null, value: 'by the older version', headers: {} })]);
    await source.deliver([poison('second')]);
    expect(await store('0', 'second')).toEqual([]);
    expect(await letters(consumerName)).toMatchObject([
      { text: 'first', place: '0' },
      { text: 'by the older version', offset: '1' },
      { text: 'second', offset: '0' },
    ]);
  });

  it('addDeadLetter puts no new reason on the bytes of another record', async () => {
    const consumerName = uniqueName('added');
    const letter = (value: string, reason: string, headers = {}): DeadLetter => ({
      ...olderLetter({ consumerName, topic: 't', offset: '5', value }),
      headers,
      reason,
      timestampMs: 1_000,
    });
    const add = (one: DeadLetter) => db().transaction((tx) => addDeadLetter(tx, one));
    const first = await add(letter('first', 'of the first'));
    const second = await add(letter('second', 'of the second'));
    const again = await add(letter('first', 'of the first, again', {}));
    expect([first.isNew, second.isNew, again.isNew]).toEqual([true, true, false]);
    expect(again.id).toBe(first.id);
    expect((await add(letter('second', 'of the second, again'))).id).toBe(second.id);
    const stored = await letters(consumerName);
    expect(stored).toHaveLength(2);
    expect(stored).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          text: 'first',
          reason: 'of the first, again',
          offset: null,
          state: 'DEAD',
        }),
        expect.objectContaining({ text: 'second', reason: 'of the second, again', offset: '5' }),
      ]),
    );
  });

  it('two members with the two records at the same time lose neither', async () => {
    const consumerName = uniqueName('both');
    const sources = ['a', 'b', 'c', 'd'].map((groupId) => memorySource({ groupId }));
    for (const source of sources) await start({ source, consumerName, handle: countUp });
    for (let round = 0; round < 20; round++) {
      const records = sources.map((_, i) => at(String(round), { key: null, value: `${round}-${i % 2}` }));
      await Promise.all(sources.map((source, i) => source.deliver([records[i] as MemoryRecord])));
      const stored = (await letters(consumerName)).filter(({ place }) => place === String(round));
      expect(stored.map(({ text }) => text).toSorted()).toEqual([`${round}-0`, `${round}-1`]);
    }
  });

  it('a topic made anew, half of it poison: all that is new is handled or a letter', async () => {
    const name = uniqueName('anew');
    const { source, consumerName } = await start({ handle: countUp, killSwitch: { failuresMin: 1_000 } });
    for (const life of [1, 2, 3]) {
      const records = Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0
          ? at(String(i), { key: null, value: `${life}-${i}` })
          : at(String(i), counting(`${name}-${life}-${i}`, name)),
      );
      await source.deliver(records);
    }
    expect(await db().counted(name)).toBe(30);
    expect(await letters(consumerName)).toHaveLength(30);
  });
});
