import type { Publisher } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { createPlatformaticPublisher } from '@orders/outbox/platformatic';
import { createKafka, type Logger } from '@orders/service-runtime';
import { Producer } from '@platformatic/kafka';

/** The two that come with the outbox, and one that has no broker behind it. */
export const publisherNames = ['kafkajs', 'platformatic', 'none'] as const;
export type PublisherName = (typeof publisherNames)[number];

/** As `apps/outbox-relay` and the README make them. */
export function createPublisher(name: PublisherName, brokers: readonly string[], logger: Logger): Publisher {
  if (name === 'none') return acknowledgesAtOnce;
  if (name === 'kafkajs')
    return createKafkajsPublisher({ kafka: createKafka({ brokers, clientId: 'bench', logger }) });
  const bootstrapBrokers = [...brokers];
  return createPlatformaticPublisher({
    createProducer: () => new Producer({ clientId: 'bench', bootstrapBrokers, retries: 0 }),
  });
}

const acknowledged = { acknowledged: true } as const;

const acknowledgesAtOnce: Publisher = {
  connect: async () => undefined,
  publish: async (records) => records.map(() => acknowledged),
  disconnect: async () => undefined,
};
