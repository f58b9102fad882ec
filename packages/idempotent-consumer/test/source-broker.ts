import { waitFor } from '@orders/dev-stack';
import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { Admin, Producer } from '@platformatic/kafka';
import { Kafka, logLevel } from 'kafkajs';
import type { ProducedRecord, RecordSourceUnderTest } from '../src/testing.ts';

type Broker = Omit<RecordSourceUnderTest, 'createSource' | 'sessionTimeoutMs'>;

/** A real Kafka as the contract of record sources wants it. */
export async function openSourceBroker(kafkaBrokers = testStack().kafkaBrokers): Promise<Broker> {
  const kafka = new Kafka({ brokers: kafkaBrokers, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  // Its headers may repeat a name, and be null.
  const client = { clientId: 'source-test', bootstrapBrokers: kafkaBrokers };
  const producer = new Producer(client);
  const platformaticAdmin = new Admin(client);

  return {
    async createTopic(partitions, compression) {
      const topic = uniqueName('source');
      const configs = compression === undefined ? [] : [{ name: 'compression.type', value: compression }];
      await platformaticAdmin.createTopics({ topics: [topic], partitions, replicas: 1, configs });
      // Only the leader's own answer says that it knows that it is one.
      await waitFor(`leaders of ${topic}`, () =>
        platformaticAdmin.listOffsets({ topics: [endsOf(topic, partitions)] }),
      );
      return topic;
    },
    async produce(topic, records) {
      await producer.send({ messages: records.map((record) => messageOf(topic, record)), acks: -1 });
    },
    async produceInTransaction(topic, records, end) {
      const transactional = kafka.producer({
        transactionalId: uniqueName('tx'),
        idempotent: true,
        maxInFlightRequests: 1,
      });
      await transactional.connect();
      const transaction = await transactional.transaction();
      const messages = records.map(({ partition, value }) => ({
        partition,
        value: value == null ? null : Buffer.from(value),
      }));
      await transaction.send({ topic, messages });
      await (end === 'commit' ? transaction.commit() : transaction.abort());
      await transactional.disconnect();
    },
    async committedOffset(groupId, topic, partition) {
      const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
      const offset = found?.partitions.find((one) => one.partition === partition)?.offset ?? '-1';
      return offset === '-1' ? null : offset;
    },
    async deleteRecords(topic, partition, beforeOffset) {
      const partitions = [{ partition, offset: BigInt(beforeOffset) }];
      await platformaticAdmin.deleteRecords({ topics: [{ name: topic, partitions }] });
    },
    async close() {
      await Promise.all([producer.close(), platformaticAdmin.close()]);
      await admin.disconnect();
    },
  };
}

const endsOf = (name: string, partitions: number) => ({
  name,
  partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n })),
});

function messageOf(topic: string, { partition, key, value, headers, timestampMs }: ProducedRecord) {
  const bytes = (one: Uint8Array | null | undefined) => (one == null ? undefined : Buffer.from(one));
  const entries = (headers ?? []).map(([name, one]) => [Buffer.from(name), bytes(one) ?? null] as const);
  return {
    topic,
    partition,
    ...(key == null ? {} : { key: Buffer.from(key) }),
    value: bytes(value) as Buffer,
    headers: new Map(entries) as Map<Buffer, Buffer>,
    ...(timestampMs === undefined ? {} : { timestamp: BigInt(timestampMs) }),
  };
}
