import type { Logger } from '../logger.ts';
import { createLeaseClock } from './lease-clock.ts';
import type { LeaseStore } from './lease-store.ts';
import type { RelaySettings } from './options.ts';

/** The heartbeat of this relay, and what it is entitled to by it. */
export interface OwnLease {
  /**
   * Registers or sends a heartbeat.
   * @returns false if all buckets have been lost since the last one: the others took this relay for dead
   */
  renew(): Promise<boolean>;
  /** Whether the lease holds by our own clocks; if not, nothing may be published. */
  holds(): boolean;
  /** Deregisters, which frees the buckets at once. */
  end(): Promise<void>;
}

/** @param relayId never used by another relay, nor by another start of this one */
export function createOwnLease(
  deps: { store: LeaseStore; logger: Logger; relayId: string },
  settings: Pick<RelaySettings, 'leaseDurationMs' | 'leaseMarginMs'>,
): OwnLease {
  const { store, logger, relayId } = deps;
  const { leaseDurationMs, leaseMarginMs } = settings;
  const clock = createLeaseClock(leaseDurationMs, leaseMarginMs);
  let registered = false;

  async function renew(): Promise<boolean> {
    const sentAt = clock.now();
    if (registered && (await store.heartbeat(relayId, leaseDurationMs))) {
      clock.renew(sentAt);
      return true;
    }
    if (registered) logger.warn({ relayId }, 'relay: lease lost, the others took this relay for dead');
    clock.end();
    registered = false;
    await store.register(relayId, leaseDurationMs);
    registered = true;
    clock.renew(sentAt);
    await store.announce();
    return false;
  }

  async function end(): Promise<void> {
    clock.end();
    if (!registered) return;
    registered = false;
    await store.deregister(relayId);
    await store.announce();
  }

  return { renew, holds: clock.holds, end };
}
