import { testStack } from '@orders/dev-stack/testing';
import { Consumer } from '@platformatic/kafka';
import { type PlatformaticConsumerOptions, platformaticSource } from '../src/platformatic.ts';
import { recordSourceContract } from '../src/testing.ts';
import { openSourceBroker } from './source-broker.ts';

const sessionTimeoutMs = 5_000;

const createConsumer = (options: PlatformaticConsumerOptions) =>
  new Consumer({ clientId: 'source-test', bootstrapBrokers: testStack().kafkaBrokers, ...options });

for (const groupProtocol of ['classic', 'consumer'] as const) {
  recordSourceContract(`platformaticSource with the protocol "${groupProtocol}"`, async () => ({
    ...(await openSourceBroker()),
    sessionTimeoutMs,
    createSource: (options) =>
      platformaticSource(
        { createConsumer },
        {
          groupProtocol,
          sessionTimeoutMs,
          rebalanceTimeoutMs: 10_000,
          heartbeatIntervalMs: 500,
          ...options,
        },
      ),
  }));
}
