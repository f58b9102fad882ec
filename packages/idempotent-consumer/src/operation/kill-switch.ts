import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';

/**
 * When a consumer takes failures for its own fault. All conditions together: that many failed events, of that many
 * different keys, being that share of the newest events, within the window. Counted per process, across chunks.
 */
export interface KillSwitchOptions {
  /** 60 s. */
  readonly windowMs: number;
  /** How many of the newest events count, so that a good minute does not hide that all fail now; 100. */
  readonly eventsMax: number;
  /** 20. */
  readonly failuresMin: number;
  /** 10. */
  readonly keysMin: number;
  /** 0.5. */
  readonly shareMin: number;
  /** Backoff of the tries while it is open: 1 s, doubling. */
  readonly retryBaseMs: number;
  /** Its longest delay; 60 s. */
  readonly retryMaxMs: number;
}

export const killSwitchDefaults: KillSwitchOptions = {
  windowMs: 60_000,
  eventsMax: 100,
  failuresMin: 20,
  keysMin: 10,
  shareMin: 0.5,
  retryBaseMs: 1_000,
  retryMaxMs: 60_000,
};

/** What a try came to: events that went well, and the keys of those that did not. */
export interface Outcomes {
  readonly succeeded: number;
  readonly failedKeys: readonly string[];
}

/** What a try has come to so far. */
export interface OutcomesSoFar extends Outcomes {
  /** Events that may still go well. */
  readonly undecided: number;
}

/**
 * A fault of ours is not a fault of the events. A release that cannot handle anything (a missing column or right, a
 * producer one version ahead) would make a dead letter of every event; so when many events of different keys fail, the
 * try is rolled back, nothing of it is stored, and the consumer stands still but for a try now and then.
 *
 * While it is open a try is judged alone: if less than its share fails, and something succeeds, the switch closes.
 */
export interface KillSwitch {
  /** Whether these outcomes, if they were committed, would be one failure too many. Then they must not be. */
  trips(outcomes: OutcomesSoFar): boolean;
  /** The try was rolled back. @returns how long to wait for the next one, and whether it has just opened */
  tripped(): { readonly delayMs: number; readonly hasOpened: boolean };
  /** The outcomes are committed. @returns whether it has closed by them */
  committed(outcomes: Outcomes): { readonly hasClosed: boolean };
  isOpen(): boolean;
  /** Whether a try may be made now. While it is open: one at a time, after each delay, and asking takes the turn. */
  takeTurn(): boolean;
  /** The turn was not used: somebody else may have it. */
  giveBackTurn(): void;
  /** Resolves when {@link takeTurn} has answered yes. */
  turn(signal: AbortSignal): Promise<void>;
  /** An operator has said "go on, and dead-letter": until then nothing trips. Milliseconds as of `Date.now()`. */
  offUntil(timeMs: number): void;
}

export function createKillSwitch(options: KillSwitchOptions, now: () => number = Date.now): KillSwitch {
  let window: { readonly atMs: number; readonly outcomes: Outcomes }[] = [];
  let isOpen = false;
  let closedAtMs = Number.NEGATIVE_INFINITY;
  let tries = 0;
  let nextTryMs = 0;
  let offUntilMs = 0;

  const isOff = () => now() < offUntilMs;

  function newest(): Outcomes[] {
    const from = now() - options.windowMs;
    let count = 0;
    const kept = window.toReversed().filter(({ atMs, outcomes }) => {
      const isIn = atMs > from && count < options.eventsMax;
      count += eventsOf(outcomes);
      return isIn;
    });
    window = kept.toReversed();
    return kept.map(({ outcomes }) => outcomes);
  }

  function takeTurn(): boolean {
    if (!isOpen || isOff()) return true;
    if (now() < nextTryMs) return false;
    nextTryMs = now() + options.retryMaxMs; // the others wait for what becomes of this try
    return true;
  }

  return {
    trips({ undecided, ...outcomes }) {
      if (isOff() || outcomes.failedKeys.length === 0) return false;
      const all = isOpen ? outcomes : sumOf([outcomes, ...newest()]);
      // What is undecided may go well: one bad event at the head of a good chunk is no fault of ours.
      if (shareOf({ ...all, succeeded: all.succeeded + undecided }) < options.shareMin) return false;
      return (
        isOpen ||
        (all.failedKeys.length >= options.failuresMin && new Set(all.failedKeys).size >= options.keysMin)
      );
    },
    tripped() {
      const hasOpened = !isOpen;
      isOpen = true;
      // What opens again soon goes on where it was: one good event now and then does not make a release whole.
      if (hasOpened && now() - closedAtMs > options.windowMs) tries = 0;
      const { retryBaseMs: baseMs, retryMaxMs: maxMs } = options;
      // At least half: a switch that is tried at once is none.
      const delayMs = fullJitterMs(++tries, { baseMs, maxMs }, () => 0.5 + Math.random() / 2);
      nextTryMs = now() + delayMs;
      return { delayMs, hasOpened };
    },
    committed(outcomes) {
      if (eventsOf(outcomes) === 0) return { hasClosed: false };
      if (!isOff()) window.push({ atMs: now(), outcomes });
      newest();
      // A try that was under way when it opened may bring failures only.
      const isGood = outcomes.succeeded > 0 && shareOf(outcomes) < options.shareMin;
      const hasClosed = isOpen && (isOff() || isGood);
      if (hasClosed) {
        isOpen = false;
        closedAtMs = now();
        window = [];
      }
      return { hasClosed };
    },
    isOpen: () => isOpen,
    takeTurn,
    giveBackTurn() {
      if (isOpen) nextTryMs = now();
    },
    async turn(signal) {
      while (!signal.aborted && !takeTurn()) {
        const waitMs = Math.min(Math.max(nextTryMs - now(), 1), pollMs);
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    },
    offUntil(timeMs) {
      offUntilMs = timeMs;
    },
  };
}

/** How soon a waiting chunk notices that the switch has closed. */
const pollMs = 250;

const eventsOf = ({ succeeded, failedKeys }: Outcomes): number => succeeded + failedKeys.length;

const shareOf = ({ succeeded, failedKeys }: Outcomes): number =>
  failedKeys.length / Math.max(1, succeeded + failedKeys.length);

const sumOf = (all: readonly Outcomes[]): Outcomes => ({
  succeeded: all.reduce((sum, one) => sum + one.succeeded, 0),
  failedKeys: all.flatMap((one) => one.failedKeys),
});
