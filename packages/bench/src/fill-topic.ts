import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { recordOf, smallPoison } from './measured/load-events.ts';

const batchSize = 1_000;

/** Puts events 0 … `count` - 1 on a topic, to be consumed later. */
export async function fillTopic(brokers: string[], topic: string, count: number): Promise<void> {
  const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer({
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  try {
    for (let from = 0; from < count; from += batchSize) {
      const length = Math.min(batchSize, count - from);
      await producer.send({
        topic,
        acks: -1,
        messages: Array.from({ length }, (_, i) => recordOf(from + i, 0, smallPoison)),
      });
    }
  } finally {
    await producer.disconnect();
  }
}
