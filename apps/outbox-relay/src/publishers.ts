import type { Publisher } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { createPlatformaticPublisher } from '@orders/outbox/platformatic';
import { createKafka, type Logger } from '@orders/service-runtime';
import { Producer } from '@platformatic/kafka';
import type { RelayConfig } from './config.ts';

export function createPublisher(
  name: RelayConfig['PUBLISHER'],
  options: { brokers: string; clientId: string; logger: Logger },
): Publisher {
  if (name === 'kafkajs') return createKafkajsPublisher({ kafka: createKafka(options) });
  const bootstrapBrokers = options.brokers.split(',').map((broker) => broker.trim());
  const { clientId } = options;
  // The relay repeats by itself, so no retries here.
  const createProducer = () => new Producer({ clientId, bootstrapBrokers, retries: 0 });
  return createPlatformaticPublisher({ createProducer });
}
