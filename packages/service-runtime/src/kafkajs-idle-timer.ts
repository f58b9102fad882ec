import { createRequire } from 'node:module';

/** The part of kafkajs's RequestQueue, one per connection to a broker, that is replaced. */
interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

/** kafkajs's own CHECK_PENDING_REQUESTS_INTERVAL. */
const checkIntervalMs = 10;

/**
 * kafkajs 2.2.4 schedules a look at its queue of pending requests even when nothing is pending and nothing is
 * throttled, with the delay `-1 - Date.now()`. Node makes that 1 ms and the look schedules the next one: a loop that
 * takes a few per cent of a core per connection, for ever, and a TimeoutNegativeWarning (tulios/kafkajs#1751).
 * Here a look is scheduled only while something is pending; `push` schedules one when that begins.
 *
 * Applies to every client of this kafkajs in the process; may be called often.
 * @returns whether kafkajs had the method that was expected
 */
export function stopIdleTimers(): boolean {
  const prototype = requestQueuePrototype();
  if (typeof prototype?.scheduleCheckPendingRequests !== 'function') return false;
  prototype.scheduleCheckPendingRequests = function scheduleCheckPendingRequests(this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
    const throttledMs = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttledMs > 0 ? throttledMs : checkIntervalMs,
    );
  };
  return true;
}

function requestQueuePrototype(): RequestQueue | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/network/requestQueue').prototype;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
