import { asError, OutboxError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { RelayMetrics } from './metrics.ts';
import { harmlessLogger, harmlessMetrics } from './observers.ts';
import { pauseRelays, type RelayPause, resumeRelays } from './pause.ts';
import { outboxNames, type PoolLike } from './postgres.ts';
import type { Publisher } from './publisher.ts';
import { admit } from './relay/admission.ts';
import { createBucketLeases } from './relay/bucket-leases.ts';
import type { RelayCounts } from './relay/counts.ts';
import { createHeldRows } from './relay/held-rows.ts';
import { createLanes } from './relay/lanes.ts';
import { createLeaseStore } from './relay/lease-store.ts';
import { startLoop } from './relay/loop.ts';
import { createMarks } from './relay/marks.ts';
import { type RelayOptions, type RelaySettings, relaySettings } from './relay/options.ts';
import { createOutboxRows } from './relay/outbox-rows.ts';
import type { ParkedTopic } from './relay/parked-topics.ts';
import { startPublishLoop } from './relay/publish-loop.ts';
import { startUpkeep } from './relay/upkeep.ts';
import { startWakeListener } from './relay/wake-listener.ts';

/** What a relay needs; it connects to nothing else and closes none of it. */
export interface RelayDeps {
  /** At least 4 connections; one is kept for LISTEN. Its time-outs must be shorter than the lease. */
  readonly pool: PoolLike;
  readonly publisher: Publisher;
  readonly logger?: Logger;
  /** Where the relay counts; none by default. With it the relay looks at the backlog now and then. */
  readonly metrics?: RelayMetrics;
  /** For tests that kill the process: called at `relay.publish.before`, `relay.publish.after`, `relay.mark.after`. */
  readonly crashPoint?: (point: string) => void;
}

/** A relay as it now is. */
export interface RelayStatus extends RelayCounts {
  /** As in the table `outbox_relays`; differs with every start. */
  readonly relayId: string;
  readonly state: 'stopped' | 'running' | 'draining';
  /** Whether its lease holds; if not, it does not publish. */
  readonly leaseHolds: boolean;
  /** Since when it publishes nothing by {@link Relay.pause}, as it last saw; null if it is not paused. */
  readonly paused: RelayPause | null;
  /** Buckets that it owns, in order. */
  readonly buckets: readonly number[];
  /** Events that are being published or marked. */
  readonly inFlight: number;
  /** Topics that fail, per bucket, with their next attempt. Their other topics and buckets go on. */
  readonly parked: readonly ParkedTopic[];
}

/**
 * Publishes committed events, at least once, those of one key in order. Any number of relays share the buckets.
 */
export interface Relay {
  /**
   * Begins, and goes on until stopped, whatever the database and the broker do meanwhile.
   * @throws OutboxError `OUTBOX_NOT_MIGRATED`, `OUTBOX_RESTORED`, `OUTBOX_RELAY_STARTED`
   */
  start(): Promise<void>;
  /** Publishes no more, waits for what is in flight (`drainTimeoutMs` at most) and gives the buckets back. */
  stop(): Promise<void>;
  /**
   * Has this relay and all others of the same outbox publish nothing until `resume`, also those that start meanwhile;
   * what is being published is finished and marked. The same as {@link pauseRelays}.
   * @returns the pause that now is; an earlier one stands
   */
  pause(reason?: string): Promise<RelayPause>;
  /** Ends the pause of all relays. @returns the pause that was; null if there was none */
  resume(): Promise<RelayPause | null>;
  status(): RelayStatus;
  /** Whether it runs and its lease holds, that is, whether it reaches the database. The broker's state is in `status`. */
  isHealthy(): boolean;
}

/** @throws OutboxError `OUTBOX_OPTION_INVALID` */
export function createRelay(deps: RelayDeps, options: RelayOptions = {}): Relay {
  const settings = relaySettings(options);
  const counts: RelayCounts = { published: 0, marked: 0, fenced: 0, dropped: 0, deadLettered: 0 };
  let run: Run | undefined;
  let starting: Promise<Run> | undefined;
  let stopping: Promise<void> | undefined;
  let state: RelayStatus['state'] = 'stopped';

  async function start(): Promise<void> {
    if (state !== 'stopped')
      throw new OutboxError('OUTBOX_RELAY_STARTED', 'the relay has been started already');
    state = 'running';
    try {
      starting = startRun(deps, settings, counts);
      run = await starting;
    } catch (thrown) {
      state = 'stopped';
      throw thrown;
    }
  }

  async function stop(): Promise<void> {
    if (state === 'running') stopping = drain();
    await stopping;
  }

  async function drain(): Promise<void> {
    state = 'draining';
    // A start that fails says so to its own caller.
    const started = await starting?.catch(() => undefined);
    await started?.stop();
    state = 'stopped';
  }

  const where = settings.schema === undefined ? {} : { schema: settings.schema };

  /** The others are notified; this one may not listen. */
  const thenLook = <T>(told: Promise<T>): Promise<T> => told.finally(() => run?.lookAtLeases());
  const pause = (reason = '') => thenLook(pauseRelays(deps.pool, { ...where, reason }));
  const resume = () => thenLook(resumeRelays(deps.pool, where));

  function status(): RelayStatus {
    return {
      ...counts,
      relayId: run?.leases.relayId ?? settings.relayId,
      state,
      leaseHolds: run?.leases.holds() ?? false,
      paused: run?.leases.pause() ?? null,
      buckets: run?.leases.owned() ?? [],
      inFlight: run?.publishLoop.inFlight() ?? 0,
      parked: run?.lanes.parkedTopics() ?? [],
    };
  }

  const isHealthy = () => state === 'running' && (run?.leases.holds() ?? false);
  return { start, stop, pause, resume, status, isHealthy };
}

/** Short against what a publish takes under load, when it matters. */
const markCollectMs = 5;

type Run = Awaited<ReturnType<typeof startRun>>;

async function startRun(deps: RelayDeps, settings: RelaySettings, counts: RelayCounts) {
  const { pool, publisher, crashPoint = () => undefined } = deps;
  const logger = harmlessLogger(deps.logger);
  const metrics = harmlessMetrics(logger, deps.metrics);
  const names = outboxNames(settings.schema);
  const lanes = createLanes(settings);
  const store = createLeaseStore(pool, names);
  const leases = createBucketLeases(
    { store, logger, isIdle: lanes.isIdle, admit: () => admit({ pool, names, rows, store }) },
    settings,
  );
  const rows = createOutboxRows(pool, names, leases.relayId);
  const held = createHeldRows(pool, names, leases.relayId);
  const { relayId } = leases;

  const round = async () => {
    const waitMs = await leases.round();
    metrics.paused.set(leases.pause() === null ? 0 : 1);
    return waitMs;
  };
  const delayMs = await firstRound(round, logger);
  const leaseLoop = startLoop({
    name: 'lease',
    delayMs,
    step: async () => {
      const waitMs = await round();
      lanes.keepOnly(leases.owned());
      publishLoop.look();
      return waitMs;
    },
    errorBackoffMaxMs: settings.heartbeatIntervalMs / 2,
    logger,
  });
  const onLanded = () => {
    if (leases.owned().length !== leases.readable().length) leaseLoop.raise();
  };
  const { onPoison } = settings;
  const shared = { leases, rows, logger, metrics, crashPoint, counts };
  const marks = createMarks(shared, markCollectMs);
  const publishLoop = startPublishLoop(
    { ...shared, publisher, onPoison, held, lanes, marks, onLanded },
    settings,
  );
  const upkeep = startUpkeep({ ...shared, pool, names, isMeasured: deps.metrics !== undefined }, settings);
  const listener = settings.listen
    ? startWakeListener({
        pool,
        channel: names.channel,
        onEvents: publishLoop.look,
        onLease: leaseLoop.raise,
        logger,
      })
    : undefined;
  logger.info({ relayId, buckets: leases.owned().length }, 'relay: started');

  async function stop(): Promise<void> {
    const left = await publishLoop.drain(settings.drainTimeoutMs);
    if (left > 0)
      logger.warn({ relayId, left }, 'relay: stopped with events in flight; they may appear twice');
    const loops = [leaseLoop, upkeep, listener];
    await Promise.all(loops.map((loop) => loop?.stop()));
    try {
      await leases.end();
    } catch (thrown) {
      logger.warn(
        { relayId, err: asError(thrown) },
        'relay: buckets not given back; their lease will run out',
      );
    }
    logger.info({ relayId, ...counts }, 'relay: stopped');
  }

  return { leases, lanes, publishLoop, lookAtLeases: leaseLoop.raise, stop };
}

/**
 * A database that is away will come back; tables that are not there will not come by waiting.
 * @returns how long to wait for the next round
 */
async function firstRound(round: () => Promise<number>, logger: Logger): Promise<number> {
  try {
    return await round();
  } catch (thrown) {
    if (thrown instanceof OutboxError) throw thrown;
    logger.warn({ err: asError(thrown) }, 'relay: the database does not answer yet');
    return 0;
  }
}
