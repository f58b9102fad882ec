import { startOwnKafka } from '@orders/dev-stack/own-servers';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { soon, uniqueName, useSources } from './kafkajs-harness.ts';

describe('a kafkajs source whose broker is killed', () => {
  const start = useSources();
  let server: Awaited<ReturnType<typeof startOwnKafka>>;
  beforeAll(async () => {
    server = await startOwnKafka();
  });
  afterAll(() => server?.close());
  const client = () =>
    new Kafka({ brokers: server.brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } });

  async function put(topic: string, count: number): Promise<void> {
    const producer = client().producer();
    await producer.connect();
    await producer.send({ topic, messages: Array.from({ length: count }, () => ({ value: 'x' })) });
    await producer.disconnect();
  }

  it('says so, and goes on by itself when it is back; stop works meanwhile', async () => {
    const topic = uniqueName('outage');
    const admin = client().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
    await admin.disconnect();
    await put(topic, 3);
    const options = { topics: [topic], kafka: client(), sessionTimeoutMs: 3_000, heartbeatIntervalMs: 500 };
    const going = start(options);
    const stopped = start(options);
    await expect.poll(() => going.places().length + stopped.places().length, soon).toBeGreaterThanOrEqual(3);
    await expect.poll(() => going.source.isHealthy() && stopped.source.isHealthy(), soon).toBe(true);
    await server.kill();
    await expect.poll(() => going.source.isHealthy(), soon).toBe(false);
    const stopMs = performance.now();
    await stopped.source.stop();
    expect(performance.now() - stopMs).toBeLessThan(12_000);
    await expect.poll(() => going.counted, { timeout: 30_000 }).toContain('sourceRestarts');
    await server.start();
    await put(topic, 2);
    await expect.poll(() => going.places(), { timeout: 60_000 }).toContain('0:4');
    await expect.poll(() => going.source.isHealthy(), soon).toBe(true);
    await expect
      .poll(() => going.source.positions(), soon)
      .toEqual([{ topic, partition: 0, committed: '5', end: '5' }]);
  }, 180_000);
});
