import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import {
  acceptAll,
  soon,
  type TestMember,
  uniqueGroup,
  upTo,
  withMembers,
} from '../src/testing/source-member.ts';
import { openPlatformatic } from './platformatic-fixture.ts';

const defaults = { sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 60_000, heartbeatIntervalMs: 3_000 };

it.concurrent.each([
  ['classic', defaults.heartbeatIntervalMs],
  ['consumer', 500], // the broker's
] as const)(
  'members restarted in turn leave no partition alone for longer than a heartbeat and two seconds (%s)',
  { timeout: 150_000 },
  async (groupProtocol, heartbeatIntervalMs) => {
    const broker = await openPlatformatic({ groupProtocol, ...defaults });
    const topic = await broker.createTopic(6);
    const partitions = upTo(6);
    const lastMs = new Map<number, number>();
    let longestMs = 0;
    let isOver = false;
    const producing = (async () => {
      while (!isOver) {
        await broker.produce(
          topic,
          partitions.map((partition) => ({ partition, value: Buffer.from('x') })),
        );
        await sleep(50);
      }
    })();
    await withMembers(broker, async (startMember) => {
      const groupId = uniqueGroup();
      const member = () =>
        startMember({ groupId, topics: [topic] }, (chunk) => {
          const { partition } = chunk.records[0];
          const nowMs = performance.now();
          longestMs = Math.max(longestMs, nowMs - (lastMs.get(partition) ?? nowMs));
          lastMs.set(partition, nowMs);
          return acceptAll(chunk);
        });
      const members: TestMember[] = [member(), member(), member()];
      const haveSettled = () =>
        vi.waitFor(async () => {
          const own = await Promise.all(members.map(({ source }) => source.positions()));
          expect(own.map((positions) => positions.length)).toEqual([2, 2, 2]);
        }, soon);
      await haveSettled();
      const gaps: number[] = [];
      for (let restart = 0; restart < 5; restart++) {
        await sleep(1_000); // all deliver
        longestMs = 0;
        await members.shift()?.source.stop();
        members.push(member());
        await haveSettled();
        const settledMs = performance.now();
        await vi.waitFor(() => {
          for (const partition of partitions) expect(lastMs.get(partition)).toBeGreaterThan(settledMs);
        }, soon);
        gaps.push(Math.round(longestMs));
      }
      console.info(`gaps with ${groupProtocol}: ${gaps.join(', ')} ms`);
      const median = gaps.toSorted((a, b) => a - b)[2];
      expect(median, `gaps ${gaps.join(', ')} ms`).toBeLessThanOrEqual(heartbeatIntervalMs + 2_000);
    }).finally(() => {
      isOver = true;
    });
    await producing;
    await broker.close();
  },
);
