import { randomBytes } from 'node:crypto';
import type { Logger } from '../logger.ts';
import type { RelayPause } from '../pause.ts';
import type { LeaseStore } from './lease-store.ts';
import type { RelaySettings } from './options.ts';
import { createOwnLease } from './own-lease.ts';
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
  /** Buckets from which may be read: owned, not being given back, under a lease that holds; none during a pause. */
  readable(): number[];
  /** The epoch under which a bucket may be published; undefined once it is lost or being given back, and in a pause. */
  epochOf(bucket: number): number | undefined;
  /** Whether the lease holds by our own clocks; if not, nothing may be published. */
  holds(): boolean;
  owned(): number[];
  /** The pause that the last round saw. */
  pause(): RelayPause | null;
}

/** While buckets are on their way from one relay to another, nobody waits for a heartbeat. */
const unsettledIntervalMs = 200;

/** @param deps `isIdle` says that nothing of a bucket is in flight; `admit` as for {@link createOwnLease} */
export function createBucketLeases(
  deps: {
    store: LeaseStore;
    logger: Logger;
    isIdle: (bucket: number) => boolean;
    admit: () => Promise<void>;
  },
  settings: RelaySettings,
): BucketLeases {
  const { store, logger, isIdle, admit } = deps;
  const { heartbeatIntervalMs } = settings;
  const relayId = `${settings.relayId}-${randomBytes(4).toString('hex')}`;
  let epochs = new Map<number, number>();
  const onLost = () => {
    epochs = new Map();
  };
  const lease = createOwnLease({ store, logger, relayId, admit, onLost }, settings);
  let givingBack: ReadonlySet<number> = new Set();
  let pause: RelayPause | null = null;

  /** Gives back what is beyond the share, as far as it is idle; the rest follows in a later round. */
  async function giveBack(share: number): Promise<void> {
    const idleFirst = owned().sort((a, b) => Number(isIdle(b)) - Number(isIdle(a)));
    const surplus = idleFirst.slice(0, Math.max(0, epochs.size - share));
    givingBack = new Set(surplus);
    // From here on nothing of these can get into flight, so what is idle now stays idle.
    const idle = surplus.filter(isIdle);
    if (idle.length === 0) return;
    await store.release(relayId, idle);
    for (const bucket of idle) epochs.delete(bucket);
    await store.announce();
    logger.info({ relayId, buckets: idle, share }, 'relay: buckets handed over');
  }

  async function take(share: number): Promise<void> {
    if (epochs.size >= share) return;
    const taken = await store.acquire(relayId, share - epochs.size);
    for (const [bucket, epoch] of taken) epochs.set(bucket, epoch);
    if (taken.size > 0) logger.info({ relayId, buckets: [...taken.keys()], share }, 'relay: buckets taken');
  }

  async function round(): Promise<number> {
    await lease.renew();
    const dead = await store.removeDead();
    if (dead.length > 0) {
      logger.warn({ relayId, dead }, 'relay: dead relays removed');
      await store.announce();
    }
    const view = await store.view(relayId);
    epochs = new Map(view.owned);
    notePause(view.pause);
    const share = shareOf(view.relayIds, relayId);
    await giveBack(share);
    await take(share);
    return epochs.size === share ? heartbeatIntervalMs : Math.min(heartbeatIntervalMs, unsettledIntervalMs);
  }

  function notePause(next: RelayPause | null): void {
    if (next !== null && pause === null)
      logger.warn({ relayId, ...next }, 'relay: paused, publishes nothing until resumed');
    if (next === null && pause !== null) logger.info({ relayId }, 'relay: resumed');
    pause = next;
  }

  async function end(): Promise<void> {
    epochs = new Map();
    await lease.end();
  }

  const epochOf = (bucket: number) =>
    pause !== null || givingBack.has(bucket) ? undefined : epochs.get(bucket);
  const owned = () => [...epochs.keys()].sort((a, b) => a - b);
  const readable = () =>
    lease.holds() && pause === null ? owned().filter((bucket) => !givingBack.has(bucket)) : [];
  return { relayId, round, end, readable, epochOf, holds: lease.holds, owned, pause: () => pause };
}
