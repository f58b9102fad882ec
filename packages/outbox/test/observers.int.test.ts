import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  createOutbox,
  createRelay,
  type Logger,
  type OutboundRecord,
  type RelayMetrics,
} from '../src/index.ts';
import { noMetrics } from '../src/metrics.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, eventsFor, type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { calmLease, poll, relays } from './relay-fixture.ts';

let database: OutboxDatabase;
const { stopAll, stopLater } = relays();
beforeAll(async () => {
  database = await openTestDatabase();
});
afterEach(stopAll);
afterAll(() => database?.close());

const broken = (): never => {
  throw new Error('the observer is broken');
};
const thrown = expect.objectContaining({ message: 'the observer is broken' });
const throwing: Logger = { debug: broken, info: broken, warn: broken, error: broken };
const later = async () => broken();
const rejecting: Logger = { debug: later, info: later, warn: later, error: later };
const brokenMetrics = Object.fromEntries(
  Object.keys(noMetrics).map((name) => [name, { inc: broken, set: broken, observe: broken }]),
) as unknown as RelayMetrics;

/** Everything that a relay does besides: a topic that fails and heals, a dead letter, a pause, a stop. */
async function lifeWith(observers: { logger?: Logger; metrics?: RelayMetrics }) {
  const [good, late, poisonKey] = ['good', 'late', 'poison'].map((name) => uniqueName(name)) as [
    string,
    string,
    string,
  ];
  const broker = createMemoryBroker();
  broker.createTopic(good);
  const given: OutboundRecord[] = [];
  const publisher = {
    ...broker.publisher,
    publish: (records: readonly OutboundRecord[]) => {
      given.push(...records);
      return broker.publisher.publish(records);
    },
  };
  const options = { ...calmLease, pollIntervalMs: 50, backoffBaseMs: 20, backoffMaxMs: 50 };
  const relay = stopLater(createRelay({ pool: database.pool, publisher, ...observers }, options));
  await relay.start();
  const poison = eventFor(good, poisonKey, 0, { payload: Buffer.alloc(1_100_000) });
  const events = eventsFor(good, 30);
  const outbox = createOutbox({ recordBytesMax: 2_000_000 });
  await database.db.transaction().execute((tx) => outbox.add(tx, [...events, poison]));
  await database.add(eventsFor(late, 3, 1));
  await expect.poll(() => relay.status().deadLettered, poll).toBe(1);
  await expect.poll(() => relay.status().parked[0]?.failures ?? 0, poll).toBeGreaterThan(2);
  broker.createTopic(late);
  await expect.poll(() => relay.status().marked, poll).toBe(33);
  await relay.pause();
  await relay.resume();
  await relay.stop();
  expect(relay.status()).toMatchObject({ published: 33, marked: 33, fenced: 0, deadLettered: 1 });
  expect(broker.read(late)).toHaveLength(3);
  expect(given.filter(({ topic, key }) => topic === good && key !== poisonKey)).toHaveLength(30);
}

describe('what observers throw changes nothing', () => {
  it('metrics: it is logged, once each', async () => {
    const errors: unknown[][] = [];
    const error = (...told: unknown[]) => errors.push(told);
    await lifeWith({ metrics: brokenMetrics, logger: { debug() {}, info() {}, warn() {}, error } });
    const told = errors.filter(([, message]) => String(message).startsWith('relay: a metric'));
    const names = told.map(([fields]) => (fields as { metric: string }).metric);
    expect(names).toEqual([...new Set(names)]);
    expect(names).toEqual(
      expect.arrayContaining(['published', 'marked', 'failures', 'publishSeconds', 'paused']),
    );
    expect(told[0]?.[0]).toEqual({ metric: names[0], err: thrown });
  });

  it.each(['published', 'publishSeconds', 'marked', 'fenced', 'failures'] as const)(
    'the metric %s alone: nothing is published again',
    (name) => lifeWith({ metrics: { ...noMetrics, [name]: brokenMetrics[name] } }),
  );

  it.each([
    { what: 'a logger', logger: throwing },
    { what: 'a logger whose promises are rejected', logger: rejecting },
    { what: 'both', logger: throwing, metrics: brokenMetrics },
  ])('$what: it becomes a warning of the process, once', async ({ what: _, ...observers }) => {
    const warnings: Error[] = [];
    const noted = (warning: Error) => warnings.push(warning);
    process.on('warning', noted);
    await lifeWith(observers);
    process.off('warning', noted);
    expect(warnings).toEqual([expect.objectContaining({ message: expect.stringContaining('is broken') })]);
  });

  it('the logger of the writing side: a wake-up that is not sent stays one that is not sent', async () => {
    const pool = { query: broken };
    const outbox = createOutbox({ pool, logger: throwing });
    const warned = once(process, 'warning');
    outbox.wake();
    await outbox.close();
    expect(await warned).toEqual([
      expect.objectContaining({ message: expect.stringContaining('is broken') }),
    ]);
  });
});
