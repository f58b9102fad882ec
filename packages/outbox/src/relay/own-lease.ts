import type { Logger } from '../logger.ts';
import { createLeaseClock } from './lease-clock.ts';
import type { LeaseStore } from './lease-store.ts';
import type { RelaySettings } from './options.ts';

/** The heartbeat of this relay, and what it is entitled to by it. */
export interface OwnLease {
  /** Registers, if the relay is admitted, or sends a heartbeat. */
  renew(): Promise<void>;
  /** Whether the lease holds by our own clocks; if not, nothing may be published. */
  holds(): boolean;
  /** Deregisters, which frees the buckets at once. */
  end(): Promise<void>;
}

/**
 * @param deps `admit` throws when this relay must not begin on what it finds in the database, which is asked before every
 * registration: the database may be away at the start, and may be another one when it is back.
 * `relayId` is never used by another relay, nor by another start of this one; `onLost` is called when the
 * others took this relay for dead, with which all its buckets are gone
 */
export function createOwnLease(
  deps: {
    store: LeaseStore;
    logger: Logger;
    relayId: string;
    admit: () => Promise<void>;
    onLost: () => void;
  },
  settings: Pick<RelaySettings, 'leaseDurationMs' | 'leaseMarginMs'>,
): OwnLease {
  const { store, logger, relayId, admit, onLost } = deps;
  const { leaseDurationMs, leaseMarginMs } = settings;
  const clock = createLeaseClock(leaseDurationMs, leaseMarginMs);
  let registered = false;
  /** Of a registration without an answer nobody knows whether it stands. */
  let mayStand = false;

  async function renew(): Promise<void> {
    const sentAt = clock.now();
    if (registered && !(await store.heartbeat(relayId, leaseDurationMs))) {
      logger.warn({ relayId }, 'relay: lease lost, the others took this relay for dead');
      clock.end();
      registered = false;
      onLost();
    }
    if (!registered) {
      await admit();
      mayStand = true;
      await store.register(relayId, leaseDurationMs);
      registered = true;
      await store.announce();
    }
    clock.renew(sentAt);
  }

  async function end(): Promise<void> {
    clock.end();
    if (!mayStand) return;
    registered = false;
    mayStand = false;
    await store.deregister(relayId);
    await store.announce();
  }

  return { renew, holds: clock.holds, end };
}
