import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testStack } from '@orders/dev-stack/testing';
import { Producer } from '@platformatic/kafka';
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
import { openPlatformatic } from './platformatic-fixture.ts';
import { openSourceBroker } from './source-broker.ts';

interface Report {
  readonly delivered: Record<string, number>;
  readonly unreadable: number;
  readonly errors: { partition: number; offset: string; err: { message: string } }[];
  readonly peakMebibytes: number;
}

async function consumeApart(topic: string, mebibytes: number, until: number): Promise<Report> {
  const script = fileURLToPath(new URL('platformatic-memory.ts', import.meta.url));
  const args = [script, testStack().kafkaBrokers.join(), topic, String(mebibytes), String(until)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  return JSON.parse(stdout);
}

it.each(['gzip', 'zstd'] as const)(
  '300 records of 1 MB that compress to nothing in one batch: a stop with its offset, or chunks, never more than 768 MiB (%s)',
  { timeout: 120_000 },
  async (compression) => {
    const broker = await openSourceBroker();
    const topic = await broker.createTopic(2);
    const producer = new Producer({ clientId: 'memory', bootstrapBrokers: testStack().kafkaBrokers });
    await broker.produce(topic, [{ partition: 0, value: Buffer.from('small') }]);
    const messages = Array.from({ length: 300 }, () => ({
      topic,
      partition: 0,
      value: Buffer.alloc(1_000_000),
    }));
    await producer.send({ messages, compression, acks: -1 });
    await broker.produce(topic, [{ partition: 1, value: Buffer.from('beside') }]);

    // The record before it, the one beside, and the partition that waits.
    const bounded = await consumeApart(topic, 64, 3);
    expect(bounded.delivered).toEqual({ 0: 1, 1: 1 });
    expect(bounded.unreadable).toBeGreaterThanOrEqual(1);
    expect(bounded.errors).toMatchObject([{ topic, partition: 0, offset: '1' }]);

    const whole = await consumeApart(topic, 320, 302);
    expect(whole.delivered).toEqual({ 0: 301, 1: 1 });
    console.info(`peaks: ${bounded.peakMebibytes.toFixed(0)} and ${whole.peakMebibytes.toFixed(0)} MiB`);
    expect(bounded.peakMebibytes).toBeLessThan(384);
    expect(whole.peakMebibytes).toBeLessThan(768);
    await producer.close();
    await broker.close();
  },
);

it('a partition that stands still keeps no memory of what others are sent beside it', async () => {
  const broker = await openPlatformatic({});
  const topic = await broker.createTopic(2);
  const gate = createGate();
  const rounds = 40;
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId: uniqueGroup(), topics: [topic] }, async (chunk) => {
      if (chunk.records[0].partition === 0) await gate.passed;
      return acceptAll(chunk);
    });
    try {
      for (let n = 0; n < rounds; n++) {
        await broker.produce(topic, [{ partition: 1, value: randomBytes(200_000) }, ...numbered(0, 1, n)]);
        await vi.waitFor(() => expect(member.offsets(1)).toEqual(upTo(n + 1)), soon);
      }
    } finally {
      gate.open();
    }
    await vi.waitFor(() => expect(member.offsets(0)).toEqual(upTo(rounds)), soon);
    const waited = member.seen.filter(({ partition, value }) => partition === 0 && value !== null);
    const memory = new Set(waited.map(({ value }) => (value as Uint8Array).buffer));
    const bytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
    console.info(`${waited.length} small records keep ${(bytes / 1024).toFixed(0)} KiB`);
    expect(bytes).toBeLessThan(700_000);
  });
  await broker.close();
});
