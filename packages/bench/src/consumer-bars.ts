import type { BarLimit } from './bars.ts';

const rate = (client: string) =>
  ({
    name: `rate.${client}`,
    about: `consumer with ${client} / the smaller of raw ${client} and pgbench, events per second`,
    bar: 0.5,
    holds: 'at-least',
  }) as const;

const poison = (client: string) =>
  ({
    name: `poison.${client}`,
    about: `p99 of the other keys, produced to handled, beside a poison key / without one, ${client}`,
    bar: 1.5,
    holds: 'at-most',
  }) as const;

const duplicate = (client: string) =>
  ({
    name: `duplicate.${client}`,
    about: `p99 from a chunk's arrival to the inbox's answer, duplicates / new events, ${client}`,
    bar: 1,
    holds: 'at-most',
  }) as const;

const largePoison = (client: string) =>
  ({
    name: `large-poison.${client}`,
    about: `longest delay of another key's event, produced to handled, beside poison records of 1 MB, ms, ${client}`,
    bar: 1_000,
    holds: 'at-most',
  }) as const;

/** All bars of `bench consumer`, from its issue. */
export const consumerBars = {
  rateKafkajs: rate('kafkajs'),
  ratePlatformatic: rate('platformatic'),
  poisonKafkajs: poison('kafkajs'),
  poisonPlatformatic: poison('platformatic'),
  duplicateKafkajs: duplicate('kafkajs'),
  duplicatePlatformatic: duplicate('platformatic'),
  largePoisonKafkajs: largePoison('kafkajs'),
  largePoisonPlatformatic: largePoison('platformatic'),
} as const satisfies Record<string, BarLimit>;

export type ConsumerBar = keyof typeof consumerBars;
