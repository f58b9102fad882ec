import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from './backoff.ts';

/**
 * When a consumer takes failures for its own fault. All conditions together: that many failed events, of that many
 * different keys, being that share of all events, within the window. Counted per process, across chunks.
 */
export interface KillSwitchOptions {
  /** 60 s. */
  readonly windowMs: number;
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

/**
 * A fault of ours is not a fault of the events. A release that cannot handle anything (a missing column or right, a
 * producer one version ahead) would make a dead letter of every event; so when many events of different keys fail, the
 * try is rolled back, nothing of it is stored, and the consumer stands still but for a try now and then.
 *
 * While it is open a try is judged alone: if no more than its share fails, the switch closes.
 */
export interface KillSwitch {
  /** Whether these outcomes, if they were committed, would be one failure too many. Then they must not be. */
  trips(outcomes: Outcomes): boolean;
  /** The try was rolled back. @returns how long to wait for the next one, and whether it has just opened */
  tripped(): { readonly delayMs: number; readonly hasOpened: boolean };
  /** The outcomes are committed. @returns whether it has closed by them */
  committed(outcomes: Outcomes): { readonly hasClosed: boolean };
  isOpen(): boolean;
  /** Resolves when a try may be made: at once while it is closed, else one at a time, after each delay. */
  turn(signal: AbortSignal): Promise<void>;
  /** An operator has said "go on, and dead-letter": until then nothing trips. Milliseconds as of `Date.now()`. */
  offUntil(timeMs: number): void;
}

export function createKillSwitch(options: KillSwitchOptions, now: () => number = Date.now): KillSwitch {
  let window: { readonly atMs: number; readonly outcomes: Outcomes }[] = [];
  let isOpen = false;
  let tries = 0;
  let nextTryMs = 0;
  let offUntilMs = 0;

  const isOff = () => now() < offUntilMs;

  function recent(): Outcomes[] {
    const from = now() - options.windowMs;
    window = window.filter(({ atMs }) => atMs > from);
    return window.map(({ outcomes }) => outcomes);
  }

  return {
    trips(outcomes) {
      if (isOff() || outcomes.failedKeys.length === 0) return false;
      if (isOpen) return shareOf(outcomes) >= options.shareMin;
      const all = sumOf([...recent(), outcomes]);
      return (
        all.failedKeys.length >= options.failuresMin &&
        new Set(all.failedKeys).size >= options.keysMin &&
        shareOf(all) >= options.shareMin
      );
    },
    tripped() {
      const hasOpened = !isOpen;
      isOpen = true;
      const { retryBaseMs: baseMs, retryMaxMs: maxMs } = options;
      // At least half: a switch that is tried at once is none.
      const delayMs = fullJitterMs(++tries, { baseMs, maxMs }, () => 0.5 + Math.random() / 2);
      nextTryMs = now() + delayMs;
      return { delayMs, hasOpened };
    },
    committed(outcomes) {
      if (!isOff()) window.push({ atMs: now(), outcomes });
      if (window.length > entriesMax) window = [{ atMs: now(), outcomes: sumOf(recent()) }];
      const hasClosed = isOpen && outcomes.succeeded + outcomes.failedKeys.length > 0;
      if (hasClosed) {
        isOpen = false;
        tries = 0;
        window = [];
      }
      return { hasClosed };
    },
    isOpen: () => isOpen,
    async turn(signal) {
      while (isOpen && !isOff() && !signal.aborted) {
        const waitMs = nextTryMs - now();
        if (waitMs <= 0) {
          nextTryMs = now() + options.retryMaxMs; // the others wait for what becomes of this try
          return;
        }
        await sleep(Math.min(waitMs, pollMs), undefined, { signal }).catch(() => undefined);
      }
    },
    offUntil(timeMs) {
      offUntilMs = timeMs;
    },
  };
}

/** How soon a waiting chunk notices that the switch has closed. */
const pollMs = 250;
/** Bounds what is remembered; beyond it the entries of a window become one. */
const entriesMax = 1_000;

const shareOf = ({ succeeded, failedKeys }: Outcomes): number =>
  failedKeys.length / Math.max(1, succeeded + failedKeys.length);

const sumOf = (all: readonly Outcomes[]): Outcomes => ({
  succeeded: all.reduce((sum, one) => sum + one.succeeded, 0),
  failedKeys: all.flatMap((one) => one.failedKeys),
});
