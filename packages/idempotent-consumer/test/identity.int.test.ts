import { describe, expect, it } from 'vitest';
import { createConsumer } from '../src/index.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { countUp, decodeCount, soon, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';
import { insertAsOlderVersion } from './older-version.ts';

describe('what tells events apart', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);
  const from = (topic: string, id: string, name: string) => ({ ...counting(id, name), topic });
  const twoTopics = () => memorySource({ groupId: uniqueName('group'), topics: ['shop', 'till'] });

  it('must be said with several topics, and by a word that there is', () => {
    const create = (topics: string[], identity?: string) =>
      createConsumer(
        { source: memorySource({ topics }), transaction: db().transaction },
        { consumerName: 'c', decode: decodeCount, handle: countUp, identity: identity as never },
      );
    const invalid = (message: RegExp) =>
      expect.objectContaining({ code: 'CONSUMER_OPTION_INVALID', message: expect.stringMatching(message) });
    expect(() => create(['a', 'b'])).toThrow(invalid(/identity is needed with several topics/));
    expect(() => create(['a', 'b'], 'ids')).toThrow(invalid(/identity is none of "id", "topic", "source"/));
    for (const identity of ['id', 'topic', 'source']) create(['a', 'b'], identity);
    create(['a', 'a']);
    create(['a']);
  });

  it('is the topic and the id with identity "topic": id "1" from two topics is two events', async () => {
    const name = uniqueName('topic');
    const { source, consumer, consumerName } = await start({
      source: twoTopics(),
      identity: 'topic',
      handle: countUp,
    });
    const records = [from('shop', '1', name), from('till', '1', name)];
    await source.deliver(records);
    await source.deliver(records);
    expect(await db().counted(name)).toBe(2);
    expect((await db().inboxRows(consumerName)).map((row) => row.event_id).toSorted()).toEqual([
      '["shop","1"]',
      '["till","1"]',
    ]);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 2, duplicatesFromOtherTopic: 0 });
  });

  it('is the source that decode gives and the id, whatever topic they come from', async () => {
    const name = uniqueName('source');
    const { source, consumer } = await start({
      source: twoTopics(),
      identity: 'source',
      handle: countUp,
      decode: (record) => {
        const decoded = decodeCount(record);
        return decoded.kind === 'event' ? { ...decoded, source: record.key?.toString() } : decoded;
      },
    });
    const keyed = (topic: string, key: string) => ({ ...from(topic, '1', name), key });
    await source.deliver([keyed('shop', 'eu'), keyed('shop', 'us'), keyed('till', 'eu')]);
    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 1, duplicatesFromOtherTopic: 1 });
    // Without its source the event cannot be told from another's.
    await source.deliver([{ ...from('shop', '2', name), key: null }]);
    expect(consumer.counts()).toMatchObject({ deadLetters: 1 });
  });

  it('is the id alone with one topic: a replay to another topic, to a second consumer of the name, is a duplicate', async () => {
    const name = uniqueName('replay');
    const original = memorySource({ groupId: 'original', topics: ['orders'] });
    const first = await start({ source: original, handle: countUp });
    const { consumerName } = first;
    await original.deliver([counting(`${name}-1`, name), counting(`${name}-2`, name)]);
    const replay = memorySource({ groupId: 'replay', topics: ['orders.replay'] });
    const { consumer, logger } = await start({ source: replay, consumerName, handle: countUp });
    await replay.deliver([
      counting(`${name}-1`, name),
      counting(`${name}-2`, name),
      counting(`${name}-3`, name),
      counting(`${name}-3`, name),
    ]);
    expect(await db().counted(name)).toBe(3);
    expect((await db().inboxRows(consumerName)).map((row) => row.event_id).toSorted()).toEqual([
      `${name}-1`,
      `${name}-2`,
      `${name}-3`,
    ]);
    expect(consumer.counts()).toMatchObject({ handled: 1, duplicates: 3, duplicatesFromOtherTopic: 2 });
    expect(logger.entries.filter(({ level }) => level === 'warn')).toMatchObject([
      {
        fields: { consumerName, count: 2, eventIds: [`${name}-1`, `${name}-2`] },
        message: expect.stringContaining('duplicates of events from another topic'),
      },
    ]);
    // The same topic again is the ordinary case: no word of it.
    await original.deliver([counting(`${name}-1`, name)]);
    expect(first.consumer.counts()).toMatchObject({ duplicates: 1, duplicatesFromOtherTopic: 0 });
  });

  it('is the same for the version before: with both side by side and redelivery both ways every effect happens once', async () => {
    const name = uniqueName('versions');
    const { source, consumer, consumerName } = await start({ handle: countUp });
    const topic = source.topics[0] as string;
    const ids = Array.from({ length: 60 }, (_, i) => `${name}-${i}`);
    /** What the older version did with a chunk: its inbox rows and its effects in one transaction. */
    async function deliverToOlder(chunk: readonly string[]): Promise<void> {
      const client = await db().pool.connect();
      try {
        await client.query('BEGIN');
        const events = chunk.map((eventId) => ({ eventId, topic, offset: String(ids.indexOf(eventId)) }));
        for (const _ of await insertAsOlderVersion(client, consumerName, events))
          await client.query(
            `INSERT INTO counters VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1`,
            [name],
          );
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    }
    const deliverToNewer = (chunk: readonly string[]) =>
      source.deliver(chunk.map((id) => ({ ...counting(id, name), offset: String(ids.indexOf(id)) })));
    await deliverToOlder(ids.slice(0, 20));
    await deliverToNewer(ids.slice(10, 40));
    await deliverToOlder(ids.slice(20, 50));
    await Promise.all([deliverToOlder(ids), deliverToNewer(ids), deliverToOlder(ids), deliverToNewer(ids)]);
    expect(await db().counted(name)).toBe(60);
    expect(await db().inboxRows(consumerName)).toHaveLength(60);
    expect(consumer.counts()).toMatchObject({ duplicatesFromOtherTopic: 0 });
  });

  it("an id that looks like another producer's source and id is no duplicate of it", async () => {
    const name = uniqueName('forged');
    const { source, consumer } = await start({
      handle: countUp,
      decode: (record) => {
        const decoded = decodeCount(record);
        return decoded.kind === 'event' && record.headers.source !== undefined
          ? { ...decoded, source: String(record.headers.source) }
          : decoded;
      },
    });
    const sourced = counting('1', name);
    await source.deliver([counting('["shop","1"]', name)]);
    await source.deliver([{ ...sourced, headers: { ...sourced.headers, source: Buffer.from('shop') } }]);
    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 0 });
  });
});

describe('a topic that is read once more', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it('does not trip the kill switch by poison records that have their letters already', async () => {
    const name = uniqueName('reread');
    const killSwitch = { failuresMin: 20, keysMin: 10, shareMin: 0.5 };
    const first = await start({ handle: countUp, killSwitch: { ...killSwitch, failuresMin: 1_000 } });
    const { consumerName } = first;
    const records = Array.from({ length: 60 }, (_, i) =>
      i % 2 === 0
        ? { value: 'poison', offset: String(i), timestampMs: 1 }
        : { ...counting(`${name}-${i}`, name), offset: String(i) },
    );
    await first.source.deliver(records);
    expect(first.consumer.counts()).toMatchObject({ handled: 30, deadLetters: 30 });
    await first.consumer.stop();
    const source = memorySource({ groupId: uniqueName('group') });
    const { consumer } = await start({ source, consumerName, handle: countUp, killSwitch });
    const delivered = source.deliver(records);
    await expect
      .poll(() => consumer.counts().duplicates + consumer.counts().killSwitchOpened, soon)
      .toBeGreaterThan(0);
    expect(consumer.counts()).toMatchObject({ killSwitchOpened: 0, duplicates: 30, deadLetters: 0 });
    expect(await delivered).toEqual(['accepted']);
  });
});
