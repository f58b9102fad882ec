import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRelay, type Publisher } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import {
  createTestTopic,
  eventsFor,
  firstAppearances,
  kafkaClient,
  type OutboxDatabase,
  openTestDatabase,
  readTopic,
  written,
} from './fixture.ts';

let database: OutboxDatabase;
let publisher: Publisher;

beforeAll(async () => {
  database = await openTestDatabase();
  publisher = createKafkajsPublisher({ kafka: kafkaClient() });
});
afterAll(async () => {
  await publisher?.disconnect();
  await database?.close();
});

describe('the relay', () => {
  it('publishes what is committed, each key in order, and marks it', async () => {
    const topic = await createTestTopic('relay', { partitions: 3 });
    const events = eventsFor(topic, 300);
    await database.add(events.slice(0, 100));
    const relay = createRelay({ pool: database.pool, publisher });
    await relay.start();
    await database.add(events.slice(100, 200));
    await database.add(events.slice(200));
    await expect.poll(() => database.unpublished(topic), { timeout: 15_000 }).toBe(0);
    await relay.stop();
    const records = await readTopic(topic);
    expect(records).toHaveLength(300);
    expect(firstAppearances(records)).toEqual(written(events));
  });
});
