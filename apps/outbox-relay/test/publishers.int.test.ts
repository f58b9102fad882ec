import { createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import { freePort, type ServiceProcess, startService } from '@orders/dev-stack';
import { createTestDatabase, createTestTopic, type TestDatabase, testStack } from '@orders/dev-stack/testing';
import { createOutbox } from '@orders/outbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publisherNames } from '../src/config.ts';

const entry = new URL('../src/main.ts', import.meta.url);
const outbox = createOutbox();
const poll = { timeout: 30_000 };

describe.each(publisherNames)('outbox-relay with PUBLISHER=%s', (PUBLISHER) => {
  let testDatabase: TestDatabase;
  let database: DatabaseHandle;
  const started: ServiceProcess[] = [];
  beforeAll(async () => {
    testDatabase = await createTestDatabase({
      template: 'migrated',
      migrate: async (url) => void (await migrateAll(url)),
    });
    database = createDatabase({ url: testDatabase.url });
  });
  afterAll(async () => {
    await Promise.all(started.map((relay) => relay.stop('SIGKILL')));
    await database?.close();
    await testDatabase?.drop();
  });

  async function start(brokers: string) {
    const port = await freePort();
    const env = {
      DATABASE_URL: testDatabase.url,
      KAFKA_BROKERS: brokers,
      PROBE_PORT: String(port),
      RELAY_POLL_INTERVAL_MS: '50',
      PUBLISHER,
    };
    const relay = await startService({ name: 'outbox-relay', entry, env });
    started.push(relay);
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
      return response && { status: response.status, text: await response.text() };
    };
    return { relay, get };
  }

  it('publishes, and counts it in /metrics', async () => {
    const topic = await createTestTopic('relay-publisher', { partitions: 2 });
    const { relay, get } = await start(testStack().kafkaBrokers.join(','));
    const events = Array.from({ length: 20 }, (_, n) => ({
      topic,
      key: `k-${n % 3}`,
      type: 't.v1',
      payload: { n },
    }));
    await inTransaction(database.db, (tx) => outbox.add(tx, events));
    const metrics = async () => (await get('/metrics'))?.text;
    await expect.poll(metrics, poll).toMatch(/^outbox_relay_marked_total 20$/m);
    expect(await metrics()).toMatch(/^outbox_relay_paused 0$/m);
    expect(await relay.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('while Kafka cannot be reached it is alive, not ready, and obeys SIGTERM', async () => {
    const { relay, get } = await start(`127.0.0.1:${await freePort()}`);
    const waits = expect.objectContaining({ level: 'warn', msg: 'Kafka does not answer yet' });
    await expect.poll(() => relay.logs, poll).toContainEqual(waits);
    expect([(await get('/livez'))?.status, (await get('/readyz'))?.status]).toEqual([200, 503]);
    expect(await relay.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });
});
