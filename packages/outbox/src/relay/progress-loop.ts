import type { Logger } from '../logger.ts';
import type { RelayCounts } from './counts.ts';
import { type Loop, startLoop } from './loop.ts';

const intervalMs = 10_000;

/** Says now and then how much was published; a line for each batch would cost as much as publishing it. */
export function startProgressLoop(counts: RelayCounts, relayId: string, logger: Logger): Pick<Loop, 'stop'> {
  let told = counts.published;
  async function step(): Promise<number> {
    const published = counts.published - told;
    told = counts.published;
    if (published > 0) logger.info({ relayId, published, ofLastMs: intervalMs }, 'relay: published');
    return intervalMs;
  }
  return startLoop({ name: 'telling', step, errorBackoffMaxMs: intervalMs, logger, delayMs: intervalMs });
}
