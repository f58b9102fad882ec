import { assertMigrated } from './admission.ts';
import { type ConsumerCounts, type Count, createCounts } from './counts.ts';
import { handleAllBy } from './handler.ts';
import type { Accepted } from './intake/accepting-transaction.ts';
import { createIntake } from './intake/intake.ts';
import { createCompany, createSlots } from './intake/slots.ts';
import { type Logger, silentLogger, steadyLogger } from './logger.ts';
import { createClashReport } from './operation/clash-report.ts';
import { type AuditedBy, pauseConsumer, resumeConsumer } from './operation/control.ts';
import { createKillSwitch } from './operation/kill-switch.ts';
import { type MemberStatus, memberStatus } from './operation/member-status.ts';
import { createProgress, type Progress } from './operation/progress.ts';
import { createReport } from './operation/report.ts';
import { createRetention } from './operation/retention.ts';
import { createSkipReport } from './operation/skip-report.ts';
import { createStandstill, type Standstill } from './operation/standstill.ts';
import { reportStatus } from './operation/status-loop.ts';
import { type ConsumerDeps, type ConsumerOptions, type ConsumerSettings, settingsOf } from './options.ts';
import { createRetryExecutor } from './retries/retry-executor.ts';
import type { Settled } from './retries/stored-try.ts';
import type { ChunkOutcome, RecordChunk, RecordSource } from './source.ts';
import { type ConsumerTransaction, runIn } from './transaction.ts';

/** A running member of a consumer group. */
export interface Consumer {
  /**
   * Begins in the background; it joins its group as soon as Kafka lets it. Whether the tables are there is looked at
   * first, if the database answers.
   * @throws ConsumerError `CONSUMER_NOT_MIGRATED`
   */
  start(): Promise<void>;
  /** Finishes the chunks and the tries in hand, commits offsets and leaves the group. Final. */
  stop(): Promise<void>;
  /** Whether it is in its group and gets on. False while the kill switch is open; true while it is paused. */
  isHealthy(): boolean;
  counts(): Readonly<ConsumerCounts>;
  /** How far it is, what waits, and what keeps it: asks the broker and the database, 5 s at the longest. */
  status(): Promise<MemberStatus>;
  /**
   * All members stop handling, those too that are started later, until {@link Consumer.resume}: it is kept in the
   * database, with who and why. This member has learnt of it when the promise resolves, the others do within
   * `pollIntervalMs`. What they have in hand then is finished; they stay in their group and hold no more than a few
   * chunks.
   */
  pause(by: AuditedBy): Promise<void>;
  resume(by: AuditedBy): Promise<void>;
}

/**
 * An idempotent consumer: every event is handled once in effect, however often it is delivered.
 *
 * A chunk of records is accepted in one transaction (see `acceptChunk`); only when that is committed are its offsets.
 * An event that fails is stored in that transaction and tried again; its neighbours do not notice, and later events of
 * its key wait for it. What is no event's fault is waited for, for ever, with a growing delay and a log line each time.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export function createConsumer<E, Tx extends ConsumerTransaction>(
  deps: ConsumerDeps<Tx>,
  options: ConsumerOptions<E, Tx>,
): Consumer {
  const { source, transaction, metrics } = deps;
  const settings = settingsOf(options, source.topics);
  const { consumerName, onDeadLetter } = settings;
  const parts = partsOf(deps, settings);
  const { counts, count, logger, progress, killSwitch, standstill, executor, retention } = parts;
  const stopping = new AbortController();
  let watching: Promise<unknown> | undefined;

  const isHealthy = () =>
    !standstill.isStopped() &&
    source.isHealthy() &&
    !killSwitch.isOpen() &&
    progress.isGettingOn(settings.stalledAfterMs);
  const own = () => ({
    isHealthy: isHealthy(),
    isPaused: standstill.isPaused(),
    killSwitch: standstill.openedBy(),
    stoppedBy: standstill.stoppedBy(),
    counts: { ...counts },
  });
  const status = () => memberStatus({ consumerName, onDeadLetter, source, transaction, progress, own });

  return {
    async start() {
      await assertMigrated(transaction);
      const stop = stopping.signal;
      watching ??= Promise.all([standstill.watch(stop), metrics && reportStatus(metrics, status, { stop })]);
      executor.start();
      retention?.start();
      source.start({ onChunk: parts.onChunk, logger, count: (what) => count(what) });
    },
    async stop() {
      await source.stop();
      stopping.abort();
      await executor.stop();
      await retention?.stop();
      await watching;
    },
    isHealthy,
    counts: () => ({ ...counts }),
    status,
    async pause(by) {
      await runIn(transaction, (tx) => pauseConsumer(tx, consumerName, by));
      await standstill.learn();
    },
    async resume(by) {
      await runIn(transaction, (tx) => resumeConsumer(tx, consumerName, by));
      await standstill.learn();
      executor.wake();
    },
  };
}

/** A claimed event is this process's alone for as long as its handler may run, and a little. */
const leaseMarginMs = 10_000;

/** What a consumer is composed of. */
function partsOf<E, Tx extends ConsumerTransaction>(
  deps: ConsumerDeps<Tx>,
  settings: ConsumerSettings<E, Tx>,
) {
  const { source, transaction, metrics, deadLetterSink, crashPoint = () => {} } = deps;
  const { consumerName, decode, identity, orderingKey, pollIntervalMs } = settings;
  const logger = steadyLogger(deps.logger ?? silentLogger);
  const { counts, count } = createCounts(metrics);
  const killSwitch = createKillSwitch(settings.killSwitch);
  const progress = createProgress();
  const standstill = createStandstill({
    ...{ consumerName, transaction, logger, count, killSwitch, progress, pollIntervalMs },
    onClosed: () => executor.wake(),
  });
  const accepting = {
    ...settings,
    ...{ transaction, logger, crashPoint, killSwitch, deadLetterSink, progress },
    handleAll: handleAllBy(settings),
    reading: { decode, identity, orderingKey },
    onStandstill: standstill.begin,
    company: createCompany(),
  };
  const hearing = hearingOf({ logger, count, standstill, source, consumerName, wake: () => executor.wake() });
  const executor = createRetryExecutor(
    { ...accepting, mayTry: standstill.mayTry, onSettled: hearing.onSettled },
    {
      parallelMax: settings.retriesInParallelMax,
      pollIntervalMs,
      leaseMs: settings.handleTimeoutMs + leaseMarginMs,
      startsMax: settings.startsMax,
    },
  );
  const intake = createIntake<E, Tx>({
    ...accepting,
    groupId: source.groupId,
    slots: createSlots(settings.partitionsInParallelMax),
    count,
    acceptSeconds: metrics?.acceptSeconds,
    turn: standstill.turn,
    onAccepted: hearing.onAccepted,
    onSkipped: hearing.onSkipped,
    onProgress: (chunk) => progress.goOn(chunk.records),
    backoff: { baseMs: settings.acceptRetryBaseMs, maxMs: settings.acceptRetryMaxMs },
  });
  const retention =
    settings.retention && createRetention({ transaction, logger, consumerName, source }, settings.retention);
  const onChunk = watched(intake, progress);
  return { counts, count, logger, progress, killSwitch, standstill, executor, retention, onChunk };
}

/** Who hears of what was committed. */
function hearingOf(deps: {
  readonly logger: Logger;
  readonly count: Count;
  readonly standstill: Standstill;
  readonly source: RecordSource;
  readonly consumerName: string;
  /** Something was stored that may be due. */
  readonly wake: () => void;
}) {
  const { logger, count, standstill, consumerName } = deps;
  const skips = createSkipReport(logger, { consumerName, topics: deps.source.topics });
  const clashes = createClashReport(logger, consumerName);
  const report = createReport(logger, count, consumerName);
  return {
    onAccepted(accepted: Accepted): void {
      const { handled, duplicates, fromOtherTopic, scheduled, invalid, outcomes } = accepted;
      report.accepted(accepted);
      clashes(fromOtherTopic);
      skips.known(handled + duplicates.length + scheduled.length + invalid.length);
      standstill.committed(outcomes);
      if (scheduled.length > 0) deps.wake();
    },
    onSettled(settled: Settled): void {
      report.settled(settled);
      const failedKeys = settled.state === 'DONE' ? [] : [settled.claimed.orderingKey];
      standstill.committed({ succeeded: 1 - failedKeys.length, failedKeys });
    },
    onSkipped(records: number): void {
      count('skipped', records);
      skips.skipped(records);
    },
  };
}

/** The intake, with its progress told. */
function watched(intake: (chunk: RecordChunk) => Promise<ChunkOutcome>, progress: Progress) {
  return async (chunk: RecordChunk): Promise<ChunkOutcome> => {
    const done = progress.begin(chunk.records, 'chunk');
    let outcome: ChunkOutcome = 'abandoned';
    try {
      outcome = await intake(chunk);
      return outcome;
    } finally {
      done(outcome === 'accepted');
    }
  };
}
