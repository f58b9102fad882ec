import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { createMemoryBroker } from '../src/testing.ts';
import { cuttablePostgres } from './cuttable-postgres.ts';
import { eventsFor, type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { poll, relays } from './relay-fixture.ts';

let database: OutboxDatabase;
const { start, stopAll } = relays();
beforeAll(async () => {
  database = await openTestDatabase();
});
afterEach(stopAll);
afterAll(() => database?.close());

it('a database that falls silent is given up after the query_timeout of the pool; the relay goes on by itself', async () => {
  const topic = uniqueName('silence');
  const broker = createMemoryBroker();
  broker.createTopic(topic);
  const postgres = await cuttablePostgres(database, { query_timeout: 300, connectionTimeoutMillis: 300 });
  const relay = await start(postgres.pool, broker.publisher);
  const events = eventsFor(topic, 60, 10);
  await database.add(events.slice(0, 30));
  await expect.poll(() => database.unpublished(topic), poll).toBe(0);
  expect(postgres.mute()).toBeGreaterThan(1);
  await expect.poll(() => relay.isHealthy(), poll).toBe(false);
  await database.add(events.slice(30));
  postgres.heal();
  await expect.poll(() => database.unpublished(topic), poll).toBe(0);
  expect(new Set(broker.read(topic).map(({ id }) => id)).size).toBe(60);
  await expect.poll(() => relay.isHealthy(), poll).toBe(true);
  await relay.stop();
  postgres.close();
});
