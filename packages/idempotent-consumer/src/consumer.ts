import { setTimeout as sleep } from 'node:timers/promises';
import type { Accepted } from './accepting-transaction.ts';
import { assertMigrated } from './admission.ts';
import { createClashReport } from './clash-report.ts';
import { type Control, readControl } from './control.ts';
import { type ConsumerCounts, createCounts } from './counts.ts';
import type { ConsumerError } from './errors.ts';
import { handleAllBy } from './handler.ts';
import { createIntake } from './intake.ts';
import { createKillSwitch } from './kill-switch.ts';
import { silentLogger, steadyLogger } from './logger.ts';
import { type ConsumerDeps, type ConsumerOptions, settingsOf } from './options.ts';
import { createProgress } from './progress.ts';
import { asError } from './reason.ts';
import { createRetention } from './retention.ts';
import { createRetryExecutor } from './retry-executor.ts';
import { createSkipReport } from './skip-report.ts';
import { createCompany, createSlots } from './slots.ts';
import type { RecordChunk } from './source.ts';
import type { Settled } from './stored-try.ts';
import type { ConsumerTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

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
  const { source, transaction, crashPoint = () => {} } = deps;
  const logger = steadyLogger(deps.logger ?? silentLogger);
  const settings = settingsOf(options, source.topics);
  const { consumerName, decode, identity, orderingKey } = settings;
  const counts = createCounts();
  const killSwitch = createKillSwitch(settings.killSwitch);
  const progress = createProgress();
  const skips = createSkipReport(logger, { consumerName, topics: source.topics });
  const retention =
    settings.retention && createRetention({ transaction, logger, consumerName, source }, settings.retention);
  const clashes = createClashReport(logger, consumerName);
  const stopping = new AbortController();
  let control: Control | undefined; // nothing is done before it is known
  let stoppedBy: ConsumerError | undefined;
  let watching: Promise<void> | undefined;

  const mayTry = () => control?.paused === false && stoppedBy === undefined;
  const accepting = {
    ...settings,
    transaction,
    logger,
    crashPoint,
    killSwitch,
    deadLetterSink: deps.deadLetterSink,
    handleAll: handleAllBy(settings),
    reading: { decode, identity, orderingKey },
    onStandstill,
    company: createCompany(),
    progress,
  };
  const executor = createRetryExecutor(
    { ...accepting, mayTry, onSettled },
    {
      parallelMax: settings.retriesInParallelMax,
      pollIntervalMs: settings.pollIntervalMs,
      leaseMs: settings.handleTimeoutMs + leaseMarginMs,
      startsMax: settings.startsMax,
    },
  );
  const intake = createIntake<E, Tx>({
    ...accepting,
    groupId: source.groupId,
    slots: createSlots(settings.partitionsInParallelMax),
    counts,
    turn,
    onAccepted,
    onProgress: (chunk) => progress.goOn(chunk.records),
    onSkipped: (count) => {
      counts.skipped += count;
      skips.skipped(count);
    },
    backoff: { baseMs: settings.acceptRetryBaseMs, maxMs: settings.acceptRetryMaxMs },
  });

  async function onChunk(chunk: RecordChunk) {
    const done = progress.begin(chunk.records);
    try {
      return await intake(chunk);
    } finally {
      done();
    }
  }

  /** Resolves when the chunk may be tried, or is no longer ours. */
  async function turn(chunk: RecordChunk): Promise<void> {
    while (!mayTry() && !chunk.signal.aborted) {
      progress.goOn(chunk.records);
      await sleep(turnPollMs, undefined, { signal: chunk.signal }).catch(() => undefined);
    }
    await killSwitch.turn(chunk.signal);
    progress.goOn(chunk.records);
  }

  function onAccepted(accepted: Accepted): void {
    const { handled, duplicates, fromOtherTopic, scheduled, deadLetters, invalid, outcomes } = accepted;
    counts.handled += handled;
    counts.duplicates += duplicates.length;
    counts.duplicatesFromOtherTopic += fromOtherTopic.length;
    clashes(fromOtherTopic);
    counts.scheduled += scheduled.length;
    counts.deadLetters += deadLetters.length;
    skips.known(handled + duplicates.length + scheduled.length + invalid.length);
    noteCommitted(outcomes);
    for (const { eventId, orderingKey: key, state, attempts, reason } of scheduled) {
      const entry = { consumerName, eventId, orderingKey: key, attempts, reason };
      if (state === 'SKIPPED') logger.warn(entry, 'event skipped, as routeError said');
      else if (state === 'DUE' && reason !== null) logger.warn(entry, 'event failed and will be tried again');
    }
    const loggedReasons = new Map(invalid.map((one) => [one.reason, one.loggedReason]));
    for (const { id, topic, partition, offset, eventId, reason } of deadLetters) {
      const logged = loggedReasons.get(reason) ?? reason;
      logger.warn({ consumerName, id, topic, partition, offset, eventId, reason: logged }, 'dead letter');
    }
    if (scheduled.length > 0) executor.wake();
    const sums = { handled, duplicates: duplicates.length, scheduled: scheduled.length };
    logger.debug({ consumerName, ...sums, deadLetters: deadLetters.length }, 'chunk accepted');
  }

  function onSettled({ claimed, state, attempts, loggedReason, deadLetters, ...settled }: Settled): void {
    const { eventId, orderingKey: key } = claimed;
    const entry = {
      consumerName,
      eventId,
      orderingKey: key,
      attempts,
      reason: loggedReason ?? settled.reason,
    };
    counts.deadLetters += deadLetters.length;
    if (state === 'DONE') counts.handled++;
    else counts.retriesFailed++;
    noteCommitted(state === 'DONE' ? { succeeded: 1, failedKeys: [] } : { succeeded: 0, failedKeys: [key] });
    if (state === 'DEAD') logger.warn(entry, 'dead letter');
    else if (state === 'DUE') logger.warn(entry, 'event failed again and will be tried again');
    else logger.info(entry, state === 'DONE' ? 'stored event handled' : 'event skipped');
  }

  function noteCommitted(outcomes: Parameters<typeof killSwitch.committed>[0]): void {
    if (!killSwitch.committed(outcomes).hasClosed) return;
    logger.info({ consumerName }, 'kill switch closed: events are handled again');
    executor.wake();
  }

  function onStandstill(error: ConsumerError): void {
    if (error.code === 'CONSUMER_STOPPED') {
      stoppedBy = error;
      logger.error({ consumerName, err: error }, 'consumer stands still until it is started anew');
      return;
    }
    const { delayMs, hasOpened } = killSwitch.tripped();
    if (hasOpened) counts.killSwitchOpened++;
    logger.error(
      { consumerName, delayMs, err: error },
      'kill switch is open: many different events fail, which looks like a fault of this release; nothing of them is stored, trying again. To go on and dead-letter them, override the kill switch',
    );
  }

  /** Learns what operators have said, now and then; while the database does not answer the last word counts. */
  async function watchControl(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      try {
        control = await transaction((tx) => readControl(tx, consumerName), {
          signal: new AbortController().signal,
        });
        killSwitch.offUntil(control.killSwitchOffUntilMs);
      } catch (error) {
        const level = isTransient(error) ? 'debug' : 'error';
        logger[level]({ consumerName, err: asError(error) }, 'consumer_control cannot be read for now');
      }
      await sleep(settings.pollIntervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  return {
    async start() {
      await assertMigrated(transaction);
      watching ??= watchControl();
      executor.start();
      retention?.start();
      source.start({
        onChunk,
        logger,
        count: (what) => {
          counts[what]++;
        },
      });
    },
    async stop() {
      await source.stop();
      stopping.abort();
      await executor.stop();
      await retention?.stop();
      await watching;
    },
    isHealthy: () =>
      stoppedBy === undefined &&
      source.isHealthy() &&
      !killSwitch.isOpen() &&
      progress.isGettingOn(settings.stalledAfterMs),
    counts: () => ({ ...counts }),
  };
}

/** A claimed event is this process's alone for as long as its handler may run, and a little. */
const leaseMarginMs = 10_000;
/** How soon a chunk in hand notices that the consumer was resumed. */
const turnPollMs = 200;
