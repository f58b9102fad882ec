import type { RecordSource } from '@orders/idempotent-consumer';
import { kafkajsSource } from '@orders/idempotent-consumer/kafkajs';
import { platformaticSource } from '@orders/idempotent-consumer/platformatic';
import { createKafka, type Logger } from '@orders/service-runtime';
import { Consumer } from '@platformatic/kafka';
import { benchTopic } from '../bench-run.ts';

/** The two that come with the consumer. */
export const sourceNames = ['kafkajs', 'platformatic'] as const;
export type SourceName = (typeof sourceNames)[number];

/** As the README makes them. */
export function createSource(
  name: SourceName,
  { brokers, groupId, logger }: { brokers: readonly string[]; groupId: string; logger: Logger },
): RecordSource {
  const options = { groupId, topics: [benchTopic] };
  if (name === 'kafkajs')
    return kafkajsSource({ kafka: createKafka({ brokers, clientId: 'bench', logger }) }, options);
  const client = { clientId: 'bench', bootstrapBrokers: [...brokers] };
  return platformaticSource({ createConsumer: (given) => new Consumer({ ...client, ...given }) }, options);
}
