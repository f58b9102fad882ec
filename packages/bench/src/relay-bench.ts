import { relayBars } from './bars.ts';
import type { Bench } from './bench-run.ts';
import { drain } from './cases/drain.ts';
import { heldSnapshot } from './cases/held-snapshot.ts';
import { idle } from './cases/idle.ts';
import { latency } from './cases/latency.ts';
import { memory } from './cases/memory.ts';
import { type CaseName, fullSizes, type Sizes, sizesOf } from './sizes.ts';

/** `pnpm bench relay`. */
export const relayBench: Bench<Sizes, CaseName, keyof typeof relayBars> = {
  name: 'relay',
  cases: { drain, 'held-snapshot': heldSnapshot, latency, idle, memory },
  bars: relayBars,
  fullSizes,
  sizesOf,
  eventsMin: 3_000, // a flight of the relay and a batch of the raw producers are 1,000; some must come after the first
  about: "The outbox's relay, side by side with what bounds it",
  takes: 'about 20 minutes',
};
