import { run } from '../answers.ts';
import type { Logger } from '../logger.ts';
import { type PoolClientLike, type PoolLike, quoteIdentifier, wakeFor } from '../postgres.ts';
import { bucketsIn } from '../wake-message.ts';
import { type Loop, startLoop } from './loop.ts';

/** How often a connection that seems well is asked; a dead one is found by that at the latest. */
const checkIntervalMs = 10_000;

/**
 * Listens on a connection of its own and takes another one when that is lost. Nothing depends on it but latency:
 * what it misses is found by polling.
 */
export function startWakeListener(deps: {
  pool: PoolLike;
  channel: string;
  /** @param buckets where; none: anywhere */
  onEvents: (buckets?: readonly number[]) => void;
  onLease: () => void;
  logger: Logger;
}): Pick<Loop, 'stop'> {
  const { pool, channel, onEvents, onLease, logger } = deps;
  let client: PoolClientLike | undefined;

  function drop(): void {
    const dropped = client;
    client = undefined;
    dropped?.release(true);
  }

  async function listen(): Promise<PoolClientLike> {
    const taken = await pool.connect();
    const lost = () => {
      if (client !== taken) return;
      drop();
      loop.raise();
    };
    taken.on('error', lost);
    taken.on('end', lost);
    taken.on('notification', ({ payload }) => {
      if (payload === wakeFor.lease) onLease();
      else onEvents(bucketsIn(payload));
    });
    try {
      await run(taken, `LISTEN ${quoteIdentifier(channel)}`);
    } catch (thrown) {
      taken.release(true);
      throw thrown;
    }
    return taken;
  }

  async function step(): Promise<number> {
    if (client !== undefined) {
      try {
        await run(client, 'SELECT 1');
        return checkIntervalMs;
      } catch (thrown) {
        drop();
        throw thrown;
      }
    }
    client = await listen();
    logger.debug({ channel }, 'relay: listening');
    onEvents(); // nobody listened until now
    onLease();
    return checkIntervalMs;
  }

  const loop = startLoop({ name: 'listening', step, errorBackoffMaxMs: 5_000, logger });
  return {
    async stop() {
      await loop.stop();
      drop();
    },
  };
}
