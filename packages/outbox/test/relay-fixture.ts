import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import {
  createRelay,
  type Logger,
  type OutboundRecord,
  type PoolLike,
  type Publisher,
  type Relay,
  type RelayOptions,
} from '../src/index.ts';

/** Leases short enough for tests; the others keep their proportion to it. */
export const fastLease: RelayOptions = { leaseDurationMs: 800, pollIntervalMs: 50 };

/** A lease that no busy machine lets end: where each event must be published once. */
export const calmLease: RelayOptions = { leaseDurationMs: 60_000 };

/** Doors that are shut at present; a test that fails leaves some, and stopping a relay would wait at them. */
const shutDoors = new Set<{ open(): void }>();

/** A door that things wait at while it is shut. */
export function createDoor() {
  let opened = Promise.withResolvers<void>();
  opened.resolve();
  let waiting = 0;
  const door = {
    shut() {
      opened = Promise.withResolvers();
      shutDoors.add(door);
    },
    open() {
      opened.resolve();
      shutDoors.delete(door);
    },
    async pass() {
      waiting += 1;
      await opened.promise;
      waiting -= 1;
    },
    /** How many stand at it. */
    waiting: () => waiting,
  };
  return door;
}

/** A publisher with a door before the broker and one before its answers. */
export function publisherWithDoors(inner: Publisher) {
  const before = createDoor();
  const after = createDoor();
  const given: OutboundRecord[] = [];
  const publisher: Publisher = {
    connect: inner.connect,
    disconnect: inner.disconnect,
    async publish(records) {
      given.push(...records);
      await before.pass();
      const results = await inner.publish(records);
      await after.pass();
      return results;
    },
  };
  return { publisher, before, after, given };
}

/** A pool whose statements of one kind can be held up, before they are sent or before their answer is given. */
export function poolWithDoors(pool: PoolLike) {
  const heartbeats = createDoor();
  const reads = createDoor();
  let statements = 0;
  const readBuckets: unknown[] = [];
  const query = async (text: string, values?: unknown[]) => {
    statements += 1;
    if (text.includes('outbox_read(')) readBuckets.push(values?.[1]);
    if (text.includes('outbox_relays')) await heartbeats.pass();
    const answer = await pool.query(text, values);
    if (text.includes('outbox_read(') && answer.rows.length > 0) await reads.pass();
    return answer;
  };
  const gated: PoolLike = { query, connect: () => pool.connect() };
  return { pool: gated, heartbeats, reads, statements: () => statements, readBuckets: () => readBuckets };
}

/** Relays that are stopped at the end of the test, whatever happens. */
export function relays() {
  const started: Relay[] = [];
  const stopLater = (relay: Relay): Relay => {
    started.push(relay);
    return relay;
  };
  return {
    stopLater,
    async start(
      pool: PoolLike,
      publisher: Publisher,
      options: RelayOptions = {},
      logger?: Logger,
    ): Promise<Relay> {
      const deps = { pool, publisher, ...(logger && { logger }) };
      const relay = stopLater(createRelay(deps, { ...fastLease, drainTimeoutMs: 2000, ...options }));
      await relay.start();
      return relay;
    },
    async stopAll() {
      for (const door of shutDoors) door.open();
      await Promise.all(started.splice(0).map((relay) => relay.stop()));
    },
  };
}

const poll = { timeout: 15_000, interval: 20 };

/** Waits until the relays own all buckets, each its share. */
export async function untilShared(...sharing: Relay[]): Promise<void> {
  const floor = Math.floor(64 / sharing.length);
  await expect
    .poll(() => {
      const counts = sharing.map((relay) => relay.status().buckets.length);
      const fair = counts.every((count) => count === floor || count === floor + 1);
      return fair && new Set(sharing.flatMap((relay) => relay.status().buckets)).size;
    }, poll)
    .toBe(64);
}

/** Waits until a number no longer changes for a while, which is as near as one gets to "nothing happens". */
export async function settled(read: () => Promise<number> | number): Promise<number> {
  let last = await read();
  for (let same = 0; same < 5; ) {
    await sleep(50);
    const now = await read();
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return last;
}

export { poll };
