import { createRequire } from 'node:module';

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
}

/** Marks the replacement, so that it is put in place once. */
const replaced = Symbol.for('orders.kafkajs.idle-timer');

/**
 * kafkajs 2.2.4 looks at the queue of each connection every millisecond although nothing is in it, and Node 24 warns of
 * the negative time-out (tulios/kafkajs#1751). Here it looks only while something is pending or throttled; `push`
 * begins that again. Applies to every client of this kafkajs; does nothing where kafkajs is built otherwise.
 */
export function stopIdleTimers(): void {
  const prototype = requestQueuePrototype();
  const original = prototype?.scheduleCheckPendingRequests;
  if (prototype === undefined || typeof original !== 'function' || replaced in original) return;
  const schedule = function (this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) original.call(this);
  };
  prototype.scheduleCheckPendingRequests = Object.assign(schedule, { [replaced]: true });
}

function requestQueuePrototype():
  | { scheduleCheckPendingRequests?: (this: RequestQueue) => void }
  | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/network/requestQueue').prototype;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
