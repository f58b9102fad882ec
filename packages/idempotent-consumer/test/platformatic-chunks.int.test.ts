import type { Consumer } from '@platformatic/kafka';
import { expect, it, vi } from 'vitest';
import {
  acceptAll,
  createGate,
  numbered,
  soon,
  uniqueGroup,
  upTo,
  withMembers,
} from '../src/testing/source-member.ts';
import { createTestConsumer, openPlatformatic } from './platformatic-fixture.ts';

it('what many fetches brought while a chunk was in hand comes together, in chunks up to the limit', async () => {
  let fetched = 0;
  let fetches = 0;
  const broker = await openPlatformatic({}, (options) => {
    const consumer = createTestConsumer(options);
    const fetch = consumer.fetch.bind(consumer) as Consumer['fetch'];
    consumer.fetch = (async (request: Parameters<typeof fetch>[0]) => {
      const answer = await fetch(request);
      for (const { partitions } of answer.responses) {
        for (const { records } of partitions) {
          const count = (records ?? []).reduce((sum, batch) => sum + batch.records.length, 0);
          fetched += count;
          if (count > 0) fetches++;
        }
      }
      return answer;
    }) as typeof fetch;
    return consumer;
  });
  const topic = await broker.createTopic(1);
  const groupId = uniqueGroup();
  const gate = createGate();
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId, topics: [topic], chunkSizeMax: 8 }, async (chunk) => {
      await gate.passed;
      return acceptAll(chunk);
    });
    try {
      for (let count = 1; count <= 21; count++) {
        await broker.produce(topic, numbered(0, 1, count - 1));
        await vi.waitFor(() => expect(fetched).toBe(count), soon);
      }
      expect([fetches, member.chunks.length]).toEqual([21, 1]);
    } finally {
      gate.open();
    }
    await vi.waitFor(() => expect(member.offsets(0)).toEqual(upTo(21)), soon);
    expect(member.chunks.map(({ records }) => records.length)).toEqual([1, 8, 8, 4]);
    await vi.waitFor(async () => {
      expect(await broker.committedOffset(groupId, topic, 0)).toBe('21');
    }, soon);
  });
  await broker.close();
});
