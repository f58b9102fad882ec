import type { Kafka, Producer } from 'kafkajs';
import { partitionOf } from './murmur2.ts';

/**
 * One producer per topic, since kafkajs refreshes the metadata of all of a producer's topics together: one that is
 * deleted or forbidden would stop the others. Opened when first needed, and again when that failed.
 */
export function createProducers(kafka: Pick<Kafka, 'producer'>) {
  const producers = new Map<string, Promise<Producer>>();
  let spare: Promise<Producer> | undefined;

  async function open(): Promise<Producer> {
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      idempotent: false,
      retry: { retries: 0 },
      createPartitioner: () => (args) =>
        partitionOf(args.message.key as string, args.partitionMetadata.length),
    });
    try {
      await producer.connect();
    } catch (thrown) {
      await producer.disconnect().catch(() => undefined); // the failure to connect is what matters
      throw thrown;
    }
    return producer;
  }

  /** Connects a producer that the first topic will use. */
  async function warmUp(): Promise<void> {
    if (producers.size > 0) return;
    spare ??= open();
    try {
      await spare;
    } catch (thrown) {
      spare = undefined;
      throw thrown;
    }
  }

  function of(topic: string): Promise<Producer> {
    const known = producers.get(topic);
    if (known !== undefined) return known;
    const producer = spare ?? open();
    spare = undefined;
    producers.set(topic, producer);
    producer.catch(() => {
      if (producers.get(topic) === producer) producers.delete(topic);
    });
    return producer;
  }

  async function close(): Promise<void> {
    const opened = [...producers.values(), ...(spare === undefined ? [] : [spare])];
    producers.clear();
    spare = undefined;
    await Promise.allSettled(opened.map(async (producer) => (await producer).disconnect()));
  }

  return { warmUp, of, close };
}
