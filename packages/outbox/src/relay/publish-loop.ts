import { setImmediate as nextTurn } from 'node:timers/promises';
import { asError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { BucketLeases } from './bucket-leases.ts';
import { type Flight, flightsOf } from './flight.ts';
import { createHeldRounds, type HeldRows } from './held-rows.ts';
import type { Lanes } from './lanes.ts';
import { type Loop, startLoop } from './loop.ts';
import type { RelaySettings } from './options.ts';
import type { Found, OutboxRows } from './outbox-rows.ts';
import { type PublishingDeps, publishFlight } from './publishing.ts';
import { createTurns } from './turns.ts';

/** Reads, publishes, marks. */
export interface PublishLoop extends Pick<Loop, 'raise'> {
  inFlight(): number;
  /** Reads no more, and waits for what is in flight, at most `timeoutMs`. @returns how many events still are */
  drain(timeoutMs: number): Promise<number>;
}

/**
 * Rows that are read at once, and about how many are published by one call: enough that round trips are short against
 * what the rows cost, and few enough that the database reads, this thread encodes, and the database marks at the same
 * time, each another part of a backlog.
 */
const readSizeMax = 1_000;

/** @param deps `onLanded` is called when buckets may have become idle */
export function startPublishLoop(
  deps: Omit<PublishingDeps, 'rows' | 'leases' | 'held'> & {
    leases: BucketLeases;
    rows: OutboxRows;
    held: HeldRows;
    lanes: Lanes;
    logger: Logger;
    onLanded: () => void;
  },
  settings: RelaySettings,
): PublishLoop {
  const { leases, lanes, rows } = deps;
  const flying = new Set<Promise<void>>();
  let inFlight = 0;
  let idleMs = settings.pollIntervalMs;
  const turns = createTurns(settings, readSizeMax);
  let draining = false;
  const heldRounds = createHeldRounds(deps.held, lanes.movedOut, settings.heartbeatIntervalMs);

  async function step(): Promise<number> {
    const buckets = leases.readable();
    await heldRounds.round(buckets);
    await setAside(deps);
    const free = settings.inFlightMax - inFlight;
    if (free <= 0) return settings.pollIntervalMs; // a landing flight raises the loop
    const requests = turns.inTurn(lanes.plan(buckets));
    if (requests.length === 0) return untilNext(settings.pollIntervalMs, buckets);

    const limitEach = turns.limitEach(buckets);
    const read = () => rows.read(requests, limitEach, Math.min(readSizeMax, free));
    const found = await lanes.watch(requests, read);
    turns.taken(requests, found, limitEach);
    if (draining) return 0;
    const blocked = found.rows.filter((row) => row.blocked);
    if (blocked.length > 0) await deps.held.moveOut(blocked);
    await unparkEmpty(deps, found);
    for (const flight of flightsOf(found.rows, readSizeMax)) launch(flight);

    if (blocked.length > 0) return 0; // they were in the way of others
    if (found.answered.length < requests.length) return 0;
    // Shortly after events there are often more; after a while without, one look per interval will do.
    idleMs =
      found.rows.length > 0 ? settings.pollIntervalMinMs : Math.min(idleMs * 2, settings.pollIntervalMs);
    return untilNext(idleMs, buckets);
  }

  const untilNext = (waitMs: number, buckets: readonly number[]) =>
    Math.min(waitMs, lanes.nextRetryInMs(buckets));

  function launch(flight: Flight): void {
    for (const bucket of flight.buckets) lanes.depart(bucket, flight.topic);
    inFlight += flight.rows.length;
    // Not at once: encoding takes this thread as long as reading takes the database, so let it read meanwhile.
    const flown = nextTurn()
      .then(() => publishFlight(deps, flight, settings.publishTimeoutMs))
      .catch((thrown) => failed(flight, thrown))
      .then((errors) => landed(errors));
    const landed = (errors: ReadonlyMap<number, Error>) => {
      for (const bucket of flight.buckets) lanes.arrive(bucket, flight.topic, errors.get(bucket));
      inFlight -= flight.rows.length;
      if (flight.rows.some((row) => row.held)) heldRounds.landed();
      flying.delete(flown);
      loop.raise();
      deps.onLanded();
    };
    flying.add(flown);
  }

  async function drain(timeoutMs: number): Promise<number> {
    draining = true;
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([loop.stop().then(() => Promise.all(flying)), timeout]);
    clearTimeout(timer);
    return inFlight;
  }

  /** What a bug does to one flight must not stop the relay; its topic waits and is tried again. */
  function failed(flight: Flight, thrown: unknown): ReadonlyMap<number, Error> {
    const err = asError(thrown);
    deps.logger.error({ relayId: leases.relayId, topic: flight.topic, err }, 'relay: unexpected error');
    return new Map(flight.buckets.map((bucket) => [bucket, err]));
  }

  const loop = startLoop({ name: 'reading', step, errorBackoffMaxMs: 5_000, logger: deps.logger });
  return { raise: loop.raise, inFlight: () => inFlight, drain };
}

type ParkingDeps = { lanes: Lanes; held: HeldRows; leases: BucketLeases; logger: Logger };

/** Rows of topics that fail while others do not leave the hot read, where every poll would have to pass over them. */
async function setAside({ lanes, held, leases, logger }: ParkingDeps): Promise<void> {
  const topics = lanes.inTheWay();
  if (topics.length === 0) return;
  await held.park(topics);
  lanes.movedOut(topics);
  logger.warn({ relayId: leases.relayId, topics }, 'relay: rows of topics that fail are set aside');
}

/** Parked topics of which nothing is left, or nothing outside of the hot read and they are well again, are as others. */
async function unparkEmpty({ lanes, held }: ParkingDeps, found: Found): Promise<void> {
  for (const { bucket, topics, only } of found.answered) {
    const topic = topics[0];
    if (!only || topic === undefined) continue;
    const ofTopic = found.rows.filter((row) => row.bucket === bucket && row.record.topic === topic);
    const where = lanes.rowsOf(bucket, topic);
    const isReturned = where === 'returning' && !ofTopic.some((row) => row.held);
    if (ofTopic.length > 0 && !isReturned) continue;
    if (where === 'passed over' || (await held.unpark({ bucket, topic }))) lanes.unpark(bucket, topic);
  }
}
