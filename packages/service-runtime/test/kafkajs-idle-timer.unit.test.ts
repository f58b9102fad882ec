import { createRequire } from 'node:module';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stopIdleTimers } from '../src/kafkajs-idle-timer.ts';

const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue');

/** kafkajs's own queue of one connection; `sent` are the ids of what went out. */
function createQueue(maxInFlightRequests: number) {
  const silent = () => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };
  const queue = new RequestQueue({
    maxInFlightRequests,
    requestTimeout: 30_000,
    clientId: 'c',
    broker: 'b',
    logger,
  });
  const sent: number[] = [];
  const push = (correlationId: number) =>
    queue.push({
      entry: { correlationId, resolve: silent, reject: silent },
      expectResponse: true,
      sendRequest: () => sent.push(correlationId),
    });
  const answer = (correlationId: number) => queue.fulfillRequest({ correlationId, payload: null, size: 0 });
  return { queue, sent, push, answer };
}

describe('stopIdleTimers', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    expect(stopIdleTimers()).toBe(true);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('a queue with nothing pending has no timer', () => {
    const { sent, push, answer } = createQueue(5);
    push(1);
    answer(1);
    expect(sent).toEqual([1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('what waits for a free place goes out when there is one', () => {
    const { sent, push, answer } = createQueue(1);
    push(1);
    push(2);
    push(3);
    expect(sent).toEqual([1]);
    answer(1);
    expect(sent).toEqual([1, 2]);
    answer(2);
    answer(3);
    vi.advanceTimersByTime(10);
    expect(sent).toEqual([1, 2, 3]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('what the broker throttles goes out when the throttling ends, without another request', () => {
    const { queue, sent, push } = createQueue(5);
    queue.maybeThrottle(250);
    push(1);
    push(2);
    vi.advanceTimersByTime(249);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent).toEqual([1, 2]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a throttling that is prolonged meanwhile is respected', () => {
    const { queue, sent, push } = createQueue(5);
    queue.maybeThrottle(100);
    push(1);
    queue.maybeThrottle(300);
    vi.advanceTimersByTime(299);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent).toEqual([1]);
  });
});
