import { setTimeout as sleep } from 'node:timers/promises';
import type { Count } from '../counts.ts';
import type { ConsumerError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { asError } from '../reason.ts';
import type { RecordChunk } from '../source.ts';
import { type ConsumerTransaction, type RunTransaction, runIn } from '../transaction.ts';
import { isTransient } from '../transient.ts';
import { type Control, readControl } from './control.ts';
import type { KillSwitch, Outcomes } from './kill-switch.ts';
import type { Progress } from './progress.ts';

/** What standing still is decided with. */
export interface StandstillDeps<Tx extends ConsumerTransaction> {
  readonly consumerName: string;
  readonly transaction: RunTransaction<Tx>;
  readonly logger: Logger;
  readonly count: Count;
  readonly killSwitch: KillSwitch;
  readonly progress: Progress;
  readonly pollIntervalMs: number;
  /** The kill switch has closed. */
  readonly onClosed: () => void;
}

/** Whether the consumer may do anything, and who says that it may not: an operator, its kill switch, or `routeError`. */
export interface Standstill {
  /** Not paused, and not stopped by `routeError`. False until the control is known. */
  mayTry(): boolean;
  isPaused(): boolean;
  isStopped(): boolean;
  /** Since when the kill switch is open, and the error that keeps it so. */
  openedBy(): { readonly since: Date; readonly error: ConsumerError } | null;
  stoppedBy(): ConsumerError | null;
  /** Resolves when the chunk may be tried, or is no longer ours. */
  turn(chunk: RecordChunk): Promise<void>;
  /** The kill switch tripped, or `routeError` answered "stop". */
  begin(error: ConsumerError): void;
  /** Outcomes were committed, which may close the kill switch. */
  committed(outcomes: Outcomes): void;
  /** Asks for what operators have said. */
  learn(): Promise<void>;
  /** Learns it now and then, until `stop`; while the database does not answer the last word counts. */
  watch(stop: AbortSignal): Promise<void>;
}

/** How soon a chunk in hand notices that the consumer was resumed. */
const turnPollMs = 200;

export function createStandstill<Tx extends ConsumerTransaction>(deps: StandstillDeps<Tx>): Standstill {
  const { consumerName, transaction, logger, killSwitch, progress } = deps;
  let control: Control | undefined; // nothing is done before it is known
  let stoppedBy: ConsumerError | undefined;
  let openedBy: { readonly since: Date; readonly error: ConsumerError } | undefined;

  const mayTry = () => control?.paused === false && stoppedBy === undefined;

  async function learn(): Promise<void> {
    control = await runIn(transaction, (tx) => readControl(tx, consumerName));
    killSwitch.offUntil(control.killSwitchOffUntilMs);
  }

  return {
    mayTry,
    isPaused: () => control?.paused === true,
    isStopped: () => stoppedBy !== undefined,
    openedBy: () => openedBy ?? null,
    stoppedBy: () => stoppedBy ?? null,
    learn,
    async turn({ records, signal }) {
      while (!mayTry() && !signal.aborted) {
        progress.goOn(records);
        await sleep(turnPollMs, undefined, { signal }).catch(() => undefined);
      }
      await killSwitch.turn(signal);
      progress.goOn(records);
    },
    begin(error) {
      if (error.code === 'CONSUMER_STOPPED') {
        stoppedBy = error;
        logger.error({ consumerName, err: error }, 'consumer stands still until it is started anew');
        return;
      }
      const { delayMs, hasOpened } = killSwitch.tripped();
      if (hasOpened) deps.count('killSwitchOpened');
      openedBy = { since: openedBy?.since ?? new Date(), error };
      logger.error({ consumerName, delayMs, err: error }, openedMessage);
    },
    committed(outcomes) {
      if (!killSwitch.committed(outcomes).hasClosed) return;
      openedBy = undefined;
      logger.info({ consumerName }, 'kill switch closed: events are handled again');
      deps.onClosed();
    },
    async watch(signal) {
      while (!signal.aborted) {
        try {
          await learn();
        } catch (error) {
          const level = isTransient(error) ? 'debug' : 'error';
          logger[level]({ consumerName, err: asError(error) }, 'consumer_control cannot be read for now');
        }
        await sleep(deps.pollIntervalMs, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

const openedMessage =
  'kill switch is open: many different events fail, which looks like a fault of this release; nothing of them is stored, trying again. To go on and dead-letter them, override the kill switch';
