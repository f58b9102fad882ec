import { Consumer } from '@platformatic/kafka';
import { Kafka, logLevel } from 'kafkajs';
import { kafkajsSource } from '../src/kafkajs.ts';
import { platformaticSource } from '../src/platformatic.ts';
import type { RecordSource } from '../src/source.ts';

/** What both sources are given. */
export interface SourceOptions {
  readonly brokers: string[];
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly fetchBytesMax?: number;
  readonly chunkSizeMax?: number;
}

/** Short, for tests. */
const membership = { sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 10_000, heartbeatIntervalMs: 500 };

/** Either source on a client of its own, for what must hold with both. */
export const bothSources: Readonly<Record<string, (options: SourceOptions) => RecordSource>> = {
  kafkajsSource: ({ brokers, ...options }) => {
    const retry = { retries: 2, initialRetryTime: 50, maxRetryTime: 200 };
    const kafka = new Kafka({ clientId: 'both', brokers, logLevel: logLevel.NOTHING, retry });
    return kafkajsSource({ kafka }, { ...membership, ...options });
  },
  platformaticSource: ({ brokers: bootstrapBrokers, ...options }) =>
    platformaticSource(
      {
        createConsumer: (given) =>
          new Consumer({ clientId: 'both', bootstrapBrokers, connectTimeout: 1_000, ...given }),
      },
      { ...membership, ...options },
    ),
};
