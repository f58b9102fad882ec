import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  accept,
  createTestTopic,
  type StartedSource,
  soon,
  testKafka,
  uniqueName,
  useSources,
} from './kafkajs-harness.ts';

const partitions = [0, 1, 2, 3, 4, 5];
const defaults = { sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 60_000, heartbeatIntervalMs: 3_000 };
const { heartbeatIntervalMs } = defaults;

describe('members that are restarted in turn', () => {
  const start = useSources();

  it('leave no partition without a member for longer than a heartbeat and two seconds', async () => {
    const topic = await createTestTopic('restarts', { partitions: 6 });
    const groupId = uniqueName('group');
    const lastMs = new Map<number, number>();
    let longestMs = 0;
    const member = () =>
      start({
        topics: [topic],
        groupId,
        ...defaults,
        onChunk: async (chunk) => {
          const { partition } = chunk.records[0];
          const nowMs = performance.now();
          longestMs = Math.max(longestMs, nowMs - (lastMs.get(partition) ?? nowMs));
          lastMs.set(partition, nowMs);
          return accept(chunk);
        },
      });
    const producer = testKafka().producer({ allowAutoTopicCreation: false });
    await producer.connect();
    let isOver = false;
    const producing = (async () => {
      while (!isOver) {
        await producer.send({ topic, messages: partitions.map((partition) => ({ partition, value: 'x' })) });
        await sleep(50);
      }
    })();
    const members: StartedSource[] = [member(), member(), member()];
    const areAll = () => members.every(({ source }) => source.isHealthy());
    await expect.poll(() => lastMs.size === 6 && areAll(), soon).toBe(true);
    await sleep(4_000); // the group has settled
    const gaps: number[] = [];
    for (let restart = 0; restart < 5; restart++) {
      longestMs = 0;
      const [oldest] = members.splice(0, 1);
      await oldest?.source.stop();
      members.push(member());
      await expect.poll(areAll, soon).toBe(true);
      await sleep(heartbeatIntervalMs + 2_000); // the others hear of it, and all deliver again
      gaps.push(Math.round(longestMs));
    }
    isOver = true;
    await producing;
    await producer.disconnect();
    const median = gaps.toSorted((a, b) => a - b)[2];
    expect(median, `gaps ${gaps.join(', ')} ms`).toBeLessThanOrEqual(heartbeatIntervalMs + 2_000);
  }, 120_000);
});
