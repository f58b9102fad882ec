import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { testStack } from '@orders/dev-stack/testing';
import { expect, it } from 'vitest';
import { bothSources } from './both-sources.ts';
import {
  committedOffset,
  countRecord,
  createTestTopic,
  decodeCount,
  produce,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';

const db = useDatabase();
const startConsumer = useConsumers(db);

const mebibyte = 1024 * 1024;
const soon = { timeout: 60_000, interval: 50 };
const partitions = 3;
const rounds = 10;
/** Does not compress; the name that is counted comes first. */
const valueBytes = 900_000;

it.each(Object.entries(bothSources))(
  'while it is paused nothing piles up in memory, then all is handled once (%s)',
  { timeout: 180_000 },
  async (_, createSource) => {
    const topic = await createTestTopic('paused', { partitions });
    const groupId = uniqueName('group');
    const name = uniqueName('paused');
    const brokers = testStack().kafkaBrokers;
    const read = countBytesRead(brokers);
    const source = createSource({ brokers, groupId, topics: [topic], fetchBytesMax: 2 * mebibyte });
    const { consumer } = await startConsumer({
      topic,
      groupId,
      deps: { source },
      decode: (record) => decodeCount({ ...record, value: record.value?.subarray(0, name.length) ?? null }),
    });
    await consumer.pause({ actor: 'ada', reason: 'test' });
    const send = async (round: number) => {
      for (let partition = 0; partition < partitions; partition++) {
        const record = countRecord(`${name}-${round}-${partition}`, name);
        await produce(
          topic,
          [{ ...record, value: Buffer.concat([Buffer.from(name), randomBytes(valueBytes)]) }],
          partition,
        );
      }
    };
    await send(0);
    // One record of each partition is in hand, and waits.
    await expect.poll(async () => (await consumer.status()).partitions.length, soon).toBe(partitions);
    await expect.poll(async () => (await consumer.status()).oldestNotAccepted, soon).not.toBeNull();
    for (let round = 1; round <= rounds; round++) await send(round);
    const produced = partitions * (rounds + 1);
    await expect.poll(async () => (await consumer.status()).lagRecords, soon).toBe(produced);
    expect(await db().counted(name)).toBe(0);
    expect(consumer.isHealthy()).toBe(true);
    // Two answers, each of them `fetchBytesMax` and a record that does not fit any more: 30 MB were produced.
    expect(read.bytes()).toBeLessThan(8 * mebibyte);
    await consumer.resume({ actor: 'ada', reason: 'test' });
    for (let partition = 0; partition < partitions; partition++)
      await expect.poll(() => committedOffset(groupId, topic, partition), soon).toBe(rounds + 1);
    expect(read.bytes()).toBeGreaterThan(produced * valueBytes);
    read.end();
    expect(await db().counted(name)).toBe(produced);
    expect(consumer.counts()).toMatchObject({ handled: produced });
  },
);

/** Bytes that this process reads from brokers from now on. */
function countBytesRead(brokers: readonly string[]) {
  const ports = new Set(brokers.map((broker) => Number(broker.split(':').at(-1))));
  const sockets = new Set<Socket>();
  const onSocket = (message: unknown) => {
    sockets.add((message as { socket: Socket }).socket);
  };
  subscribe('net.client.socket', onSocket);
  const kept = new Map<Socket, number>();
  return {
    bytes: () => {
      for (const socket of sockets)
        if (socket.remotePort !== undefined && ports.has(socket.remotePort))
          kept.set(socket, socket.bytesRead);
      return [...kept.values()].reduce((sum, bytes) => sum + bytes, 0);
    },
    end: () => unsubscribe('net.client.socket', onSocket),
  };
}
