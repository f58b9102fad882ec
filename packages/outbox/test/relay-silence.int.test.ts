import { connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { createMemoryBroker } from '../src/testing.ts';
import { eventsFor, type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { poll, relays } from './relay-fixture.ts';

let database: OutboxDatabase;
const { start, stopAll } = relays();
beforeAll(async () => {
  database = await openTestDatabase();
});
afterEach(stopAll);
afterAll(() => database?.close());

/** PostgreSQL behind a network that may swallow everything: no answer, no error, and what is swallowed never comes. */
async function mutablePostgres() {
  const { hostname, port } = new URL(database.url);
  const open = new Set<Socket>();
  let silent = false;
  const server = createServer((socket) => {
    const upstream = connect({ host: hostname, port: Number(port) });
    for (const one of [socket, upstream]) {
      open.add(one);
      one.on('error', () => undefined);
    }
    socket.on('close', () => upstream.destroy());
    if (!silent) socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const url = new URL(database.url);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    /** @returns how many connections fell silent */
    mute() {
      silent = true;
      for (const one of open) one.unpipe().pause();
      return open.size / 2;
    },
    /** For new connections; the others stay as they are. */
    unmute: () => (silent = false),
    close() {
      server.close();
      for (const one of open) one.destroy();
    },
  };
}

it('a database that falls silent is given up after the query_timeout of the pool; the relay goes on by itself', async () => {
  const topic = uniqueName('silence');
  const broker = createMemoryBroker();
  broker.createTopic(topic);
  await broker.publisher.connect();
  const postgres = await mutablePostgres();
  const pool = database.openPool({
    connectionString: postgres.url,
    connectionTimeoutMillis: 300,
    query_timeout: 300,
  });
  const relay = await start(pool, broker.publisher);
  const events = eventsFor(topic, 60, 10);
  await database.add(events.slice(0, 30));
  await expect.poll(() => database.unpublished(topic), poll).toBe(0);
  expect(postgres.mute()).toBeGreaterThan(1);
  await expect.poll(() => relay.isHealthy(), poll).toBe(false);
  await database.add(events.slice(30));
  postgres.unmute();
  await expect.poll(() => database.unpublished(topic), poll).toBe(0);
  expect(new Set(broker.read(topic).map(({ id }) => id)).size).toBe(60);
  await expect.poll(() => relay.isHealthy(), poll).toBe(true);
  await relay.stop();
  postgres.close();
});
