import { setImmediate as nextTurn } from 'node:timers/promises';
import { asError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { BucketLeases } from './bucket-leases.ts';
import { type Flight, flightsOf, type NotAcknowledged } from './flight.ts';
import { createHeldRounds, type HeldRows } from './held-rows.ts';
import type { Lanes } from './lanes.ts';
import { startLoop } from './loop.ts';
import type { Marks } from './marks.ts';
import type { RelaySettings } from './options.ts';
import type { Found, OutboxRows } from './outbox-rows.ts';
import { createPolls } from './polls.ts';
import { type PublishingDeps, publishFlight } from './publishing.ts';
import { createReading, readSizeMax } from './reading.ts';

/** Reads, publishes, marks. */
export interface PublishLoop {
  /** Says that there may be events. @param buckets where; none: anywhere */
  look(buckets?: readonly number[]): void;
  inFlight(): number;
  /** Reads no more, and waits for what is in flight, at most `timeoutMs`. @returns how many events still are */
  drain(timeoutMs: number): Promise<number>;
}

/** @param deps `onLanded` is called when buckets may have become idle */
export function startPublishLoop(
  deps: Omit<PublishingDeps, 'marks' | 'leases' | 'held'> & {
    marks: Marks;
    leases: BucketLeases;
    rows: OutboxRows;
    held: HeldRows;
    lanes: Lanes;
    logger: Logger;
    onLanded: () => void;
  },
  settings: RelaySettings,
): PublishLoop {
  const { leases, lanes } = deps;
  const flying = new Set<Promise<void>>();
  let inFlight = 0;
  const polls = createPolls(settings);
  const reading = createReading(deps, settings);
  let draining = false;
  const heldRounds = createHeldRounds(deps.held, lanes.movedOut, settings.heartbeatIntervalMs);

  async function step(): Promise<number> {
    const readable = leases.readable();
    await heldRounds.round(readable);
    await setAside(deps);
    const untilPollMs = () => Math.min(polls.untilDueMs(), lanes.nextRetryInMs(readable));
    const isPoll = untilPollMs() <= 0;
    if (isPoll) reading.ask();
    const free = settings.inFlightMax - inFlight;
    if (free <= 0) return settings.pollIntervalMs; // a landing flight raises the loop

    const lookedAt = polls.begin({ isPoll });
    const found = await reading.read(readable, free);
    if (draining) return 0;
    const blocked = found.rows.filter((row) => row.blocked);
    if (blocked.length > 0) await deps.held.moveOut(blocked);
    reading.ask(blocked.map(({ bucket }) => bucket)); // they were in the way of others
    await unparkEmpty(deps, found);
    for (const flight of flightsOf(found.rows, readSizeMax)) launch(flight);
    lookedAt(found.rows.length > 0);
    return reading.isWanted() ? 0 : untilPollMs();
  }

  function look(buckets?: readonly number[]): void {
    reading.ask(buckets);
    loop.raise();
  }

  function launch(flight: Flight): void {
    for (const bucket of flight.buckets) lanes.depart(bucket, flight.topic);
    inFlight += flight.rows.length;
    // Not at once: encoding takes this thread as long as reading takes the database, so let it read meanwhile.
    const flown = nextTurn()
      .then(() => publishFlight(deps, flight, settings.publishTimeoutMs))
      .catch((thrown) => failed(flight, thrown))
      .then((failures) => landed(failures));
    const landed = (failures: ReadonlyMap<number, NotAcknowledged>) => {
      const isHeld = flight.rows.some((row) => row.held);
      const isParked = flight.buckets.some((bucket) => lanes.rowsOf(bucket, flight.topic) !== undefined);
      for (const bucket of flight.buckets) lanes.arrive(bucket, flight.topic, failures.get(bucket));
      const isFailed = [...failures.values()].some((why) => why !== 'not sent');
      if (isHeld) heldRounds.landed();
      if (isHeld || isParked || isFailed) reading.ask(flight.buckets);
      inFlight -= flight.rows.length;
      flying.delete(flown);
      if (reading.isWanted()) loop.raise();
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
  return { look, inFlight: () => inFlight, drain };
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
