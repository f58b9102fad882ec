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
 * kafkajs 2.2.4 goes on looking at its queue of pending requests when nothing is pending, with a negative delay that
 * Node makes 1 ms: a loop that takes a few per cent of a core per connection and prints a TimeoutNegativeWarning
 * (tulios/kafkajs#1751). Here it looks only while something is pending. May be called often; does nothing to a kafkajs
 * that is built otherwise.
 */
export function stopIdleTimers(): void {
  const prototype = requestQueuePrototype();
  if (typeof prototype?.scheduleCheckPendingRequests !== 'function') return;
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
}

/** Undefined where kafkajs cannot be loaded like this: built otherwise, or bundled together with this file. */
function requestQueuePrototype(): RequestQueue | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/network/requestQueue').prototype;
  } catch {
    return undefined; // a cure that does not take is no reason to publish nothing
  }
}
