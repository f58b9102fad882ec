import type { Publisher } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { createPlatformaticPublisher } from '@orders/outbox/platformatic';
import { createKafka, type KafkaSecurity, type Logger } from '@orders/service-runtime';
import { Producer } from '@platformatic/kafka';
import type { RelayConfig } from './config.ts';

const mechanisms = { 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const;

export function createPublisher(
  name: RelayConfig['PUBLISHER'],
  options: { brokers: string; clientId: string; security: KafkaSecurity; logger: Logger },
): Publisher {
  if (name === 'kafkajs') return createKafkajsPublisher({ kafka: createKafka(options) });
  const bootstrapBrokers = options.brokers.split(',').map((broker) => broker.trim());
  const { clientId, security } = options;
  const { ssl, sasl } = security;
  const client = {
    clientId,
    bootstrapBrokers,
    ...(ssl === undefined ? {} : { tls: ssl, tlsServerName: true }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl, mechanism: mechanisms[sasl.mechanism] } }),
  };
  // The relay repeats by itself, so no retries here.
  const createProducer = () => new Producer({ ...client, retries: 0 });
  return createPlatformaticPublisher({ createProducer });
}
