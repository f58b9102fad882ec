import type { Consumer as KafkajsConsumer } from 'kafkajs';
import type { Membership } from './membership.ts';

/** Whether a consumer of kafkajs gets on. */
export interface Life {
  /** A fetch of its own came back or failed, a broker was reached or not. */
  onContact(succeeded: boolean): void;
  isAlive(): boolean;
  end(): void;
}

interface Limits {
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

/**
 * Goes by fetches that come back: heartbeats go on in a consumer that fetches nothing. While the sink has all its
 * chunks in hand fetches come back empty. A member without partitions has nothing to fetch, and kafkajs says so too.
 */
export function watch(
  consumer: KafkajsConsumer,
  membership: Membership,
  limits: Limits,
  onEnd: (error: unknown) => void,
): Life {
  const { sessionTimeoutMs, rebalanceTimeoutMs } = limits;
  // While it joins it may be silent for as long as the group waits for its slowest member.
  const joiningMaxMs = rebalanceTimeoutMs + 2 * sessionTimeoutMs;
  let lastProgressMs = performance.now();
  let isReaching = true;
  const progress = () => {
    lastProgressMs = performance.now();
  };
  const silenceMs = () => performance.now() - lastProgressMs;
  const { FETCH, GROUP_JOIN, CRASH } = consumer.events;
  consumer.on(FETCH, () => {
    if (isReaching) progress();
  });
  consumer.on(GROUP_JOIN, () => {
    membership.join();
    isReaching = true;
    progress();
  });
  consumer.on(CRASH, ({ payload }) => onEnd(payload.error));
  const isSilent = () => {
    const isMember = membership.current() !== undefined && !membership.isJoining();
    return silenceMs() > (isMember ? 2 * sessionTimeoutMs : joiningMaxMs);
  };
  const timer = setInterval(() => {
    if (isSilent()) onEnd(new Error(`kafkajs has fetched nothing for ${Math.round(silenceMs())} ms`));
  }, sessionTimeoutMs / 2);
  timer.unref();
  return {
    onContact: (succeeded) => {
      isReaching = succeeded;
      if (succeeded) progress();
    },
    isAlive: () => membership.joins() > 0 && !isSilent(),
    end: () => clearInterval(timer),
  };
}
