import { testStack } from '@orders/dev-stack/testing';
import { Consumer } from '@platformatic/kafka';
import {
  type PlatformaticConsumerOptions,
  type PlatformaticSourceOptions,
  platformaticSource,
} from '../src/platformatic.ts';
import type { RecordSourceUnderTest } from '../src/testing.ts';
import { openSourceBroker } from './source-broker.ts';

export type GroupProtocol = NonNullable<PlatformaticSourceOptions['groupProtocol']>;
export const groupProtocols = ['classic', 'consumer'] as const;

export const createTestConsumer = (
  options: PlatformaticConsumerOptions,
  bootstrapBrokers = testStack().kafkaBrokers,
): Consumer => new Consumer({ clientId: 'source-test', bootstrapBrokers, connectTimeout: 1_000, ...options });

/** With short time-outs; the test stack's broker has the session of `groupProtocol: consumer`. */
export const sourceDefaults = {
  sessionTimeoutMs: 5_000,
  rebalanceTimeoutMs: 10_000,
  heartbeatIntervalMs: 500,
} as const;

export async function openPlatformatic(
  o: Partial<PlatformaticSourceOptions>,
  createConsumer: (options: PlatformaticConsumerOptions) => Consumer = createTestConsumer,
  brokers?: string[],
): Promise<RecordSourceUnderTest> {
  return {
    ...(await openSourceBroker(brokers)),
    sessionTimeoutMs: sourceDefaults.sessionTimeoutMs,
    createSource: (options) =>
      platformaticSource({ createConsumer }, { ...sourceDefaults, ...o, ...options }),
  };
}
