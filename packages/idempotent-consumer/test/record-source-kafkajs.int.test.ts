import { testStack } from '@orders/dev-stack/testing';
import { Kafka, logLevel } from 'kafkajs';
import { kafkajsSource } from '../src/kafkajs.ts';
import { recordSourceContract } from '../src/testing.ts';
import { openSourceBroker } from './source-broker.ts';

const sessionTimeoutMs = 5_000;

recordSourceContract('kafkajsSource', async () => {
  const kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });
  return {
    ...(await openSourceBroker()),
    sessionTimeoutMs,
    createSource: (options) =>
      kafkajsSource(
        { kafka },
        { sessionTimeoutMs, rebalanceTimeoutMs: 10_000, heartbeatIntervalMs: 500, ...options },
      ),
  };
});
