import { randomBytes } from 'node:crypto';
import type { Logger } from '../logger.ts';
import { createLeaseClock } from './lease-clock.ts';
import type { LeaseStore } from './lease-store.ts';
import type { RelaySettings } from './options.ts';
import { shareOf } from './share.ts';

/** The buckets of this relay, and the right to them. */
export interface BucketLeases {
  /** In tables and logs; no other start of any relay has it. */
  readonly relayId: string;
  /**
   * Heartbeat, removal of the dead, and a step towards the fair share: free buckets are taken, surplus ones are given
   * back once nothing of them is in flight. Never runs twice at the same time.
   * @returns how long to wait for the next round, milliseconds
   */
  round(): Promise<number>;
  /** Gives everything back. */
  end(): Promise<void>;
  /** Buckets from which may be read: owned, not being given back, under a lease that holds. */
  readable(): number[];
  /** The epoch of an owned bucket; undefined as soon as it is known to be lost. */
  epochOf(bucket: number): number | undefined;
  /** Whether the lease holds by our own clocks; if not, nothing may be published. */
  holds(): boolean;
  owned(): number[];
}

/** @param deps `isIdle` says that nothing of a bucket is in flight */
export function createBucketLeases(
  deps: { store: LeaseStore; logger: Logger; isIdle: (bucket: number) => boolean },
  settings: RelaySettings,
): BucketLeases {
  const { store, logger, isIdle } = deps;
  const { leaseDurationMs, heartbeatIntervalMs } = settings;
  const relayId = `${settings.relayId}-${randomBytes(4).toString('hex')}`;
  const clock = createLeaseClock(leaseDurationMs, settings.leaseMarginMs);
  let registered = false;
  let epochs = new Map<number, number>();
  const givingBack = new Set<number>();

  async function renew(): Promise<void> {
    const sentAt = clock.now();
    if (registered && !(await store.heartbeat(relayId, leaseDurationMs))) {
      logger.warn(
        { relayId, buckets: epochs.size },
        'relay: lease lost, the others took this relay for dead',
      );
      clock.end();
      registered = false;
      epochs = new Map();
    }
    if (!registered) {
      await store.register(relayId, leaseDurationMs);
      registered = true;
      await store.announce();
    }
    clock.renew(sentAt);
  }

  async function balance(): Promise<void> {
    const view = await store.view(relayId);
    epochs = new Map(view.owned);
    const share = shareOf(view.relayIds, relayId);
    const surplus = [...epochs.keys()].sort((a, b) => b - a).slice(0, Math.max(0, epochs.size - share));
    givingBack.clear();
    for (const bucket of surplus) givingBack.add(bucket);
    const idle = surplus.filter(isIdle);
    if (idle.length > 0) {
      // Nothing of these can get into flight any more: they left `readable` before we looked whether they are idle.
      await store.release(relayId, idle);
      for (const bucket of idle) epochs.delete(bucket);
      await store.announce();
      logger.info({ relayId, buckets: idle, share }, 'relay: buckets handed over');
    }
    if (epochs.size < share) {
      const taken = await store.acquire(relayId, share - epochs.size);
      for (const [bucket, epoch] of taken) epochs.set(bucket, epoch);
      if (taken.size > 0) {
        logger.info({ relayId, buckets: [...taken.keys()], share }, 'relay: buckets taken');
      }
    }
    settled = epochs.size === share;
  }
  let settled = false;

  async function round(): Promise<number> {
    await renew();
    const dead = await store.removeDead();
    if (dead.length > 0) {
      logger.warn({ relayId, dead }, 'relay: dead relays removed');
      await store.announce();
    }
    await balance();
    return settled ? heartbeatIntervalMs : Math.min(heartbeatIntervalMs, unsettledIntervalMs);
  }

  async function end(): Promise<void> {
    clock.end();
    epochs = new Map();
    if (!registered) return;
    await store.deregister(relayId);
    registered = false;
    await store.announce();
  }

  const readable = () =>
    clock.holds() ? [...epochs.keys()].filter((bucket) => !givingBack.has(bucket)) : [];
  const owned = () => [...epochs.keys()].sort((a, b) => a - b);
  return {
    relayId,
    round,
    end,
    readable,
    epochOf: (bucket) => epochs.get(bucket),
    holds: clock.holds,
    owned,
  };
}

/** While buckets are on their way from one relay to another, nobody waits for a heartbeat. */
const unsettledIntervalMs = 200;
