import { asError, OutboxError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { backoffMs } from './backoff.ts';
import { createSignal } from './signal.ts';

/** Something that is done again and again in the background. */
export interface Loop {
  /** Does the next step now, or at once after the present one. */
  raise(): void;
  /** Begins no further step, and waits for the present one. */
  stop(): Promise<void>;
}

/**
 * Runs `step` until stopped; it returns for how long to sleep then, in milliseconds. A step that throws is logged and
 * tried again after a growing wait: what fails here is the database, and it comes back.
 */
export function startLoop(deps: {
  name: string;
  step: () => Promise<number>;
  errorBackoffMaxMs: number;
  logger: Logger;
  /** Wait before the first step. */
  delayMs?: number;
}): Loop {
  const { name, step, errorBackoffMaxMs, logger, delayMs = 0 } = deps;
  const signal = createSignal();
  let stopping = false;

  async function run(): Promise<void> {
    let failures = 0;
    if (delayMs > 0) await signal.sleep(delayMs);
    while (!stopping) {
      let sleepMs: number;
      try {
        sleepMs = await step();
        failures = 0;
      } catch (thrown) {
        failures += 1;
        sleepMs = backoffMs(failures, { baseMs: 50, maxMs: errorBackoffMaxMs });
        const level = thrown instanceof OutboxError ? 'error' : 'warn'; // the database alone will not mend that
        logger[level]({ err: asError(thrown), failures, retryInMs: sleepMs }, `relay: ${name} failed`);
      }
      if (!stopping) await signal.sleep(sleepMs);
    }
  }

  const ended = run();
  return {
    raise: signal.raise,
    async stop() {
      stopping = true;
      signal.raise();
      await ended;
    },
  };
}
