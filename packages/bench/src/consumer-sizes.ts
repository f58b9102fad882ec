import type { Wanted } from './bench-run.ts';
import { atMost } from './sizes.ts';

/** How much of the consumer is measured. */
export interface ConsumerSizes {
  readonly rounds: number;
  /** Events that are counted when a topic is consumed. */
  readonly rateEvents: number;
  /** Events before them, which are not: compiling, connecting, joining the group. */
  readonly warmUpEvents: number;
  /** Of a round under a steady load; its first third is not counted. */
  readonly loadSeconds: number;
}

/** What the bars are judged on. */
export const fullConsumerSizes: ConsumerSizes = {
  rounds: 5,
  rateEvents: 100_000,
  warmUpEvents: 20_000,
  loadSeconds: 6,
};

/** The sizes of a run, never above the full ones but for `rounds`. */
export const consumerSizesOf = ({ events, rounds, seconds }: Wanted): ConsumerSizes => ({
  rounds: rounds ?? fullConsumerSizes.rounds,
  rateEvents: atMost(fullConsumerSizes.rateEvents, events),
  warmUpEvents: atMost(fullConsumerSizes.warmUpEvents, events),
  loadSeconds: atMost(fullConsumerSizes.loadSeconds, seconds),
});
