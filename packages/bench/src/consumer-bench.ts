import type { Bench } from './bench-run.ts';
import { consumerLoad } from './cases/consumer-load.ts';
import { consumerRate } from './cases/consumer-rate.ts';
import { type ConsumerBar, consumerBars } from './consumer-bars.ts';
import { type ConsumerSizes, consumerSizesOf, fullConsumerSizes } from './consumer-sizes.ts';

/** `pnpm bench consumer`. */
export const consumerBench: Bench<ConsumerSizes, 'rate' | 'load', ConsumerBar> = {
  name: 'consumer',
  cases: { rate: consumerRate, load: consumerLoad },
  bars: consumerBars,
  fullSizes: fullConsumerSizes,
  sizesOf: consumerSizesOf,
  eventsMin: 3_000, // a chunk is 500; some must come after the first ones
  about: 'The idempotent consumer, side by side with what bounds it',
  takes: 'about 10 minutes',
};
