import { createTestTopic, testStack, uniqueName } from '@orders/dev-stack/testing';
import { type ITopicConfig, Kafka, type KafkaConfig, logLevel, type Message } from 'kafkajs';
import { afterEach } from 'vitest';
import { ownCluster } from '../src/kafkajs/cluster-tap.ts';
import { type KafkajsSourceOptions, kafkajsSource } from '../src/kafkajs.ts';
import type { Logger } from '../src/logger.ts';
import type { ConsumedRecord } from '../src/record.ts';
import type { ChunkOutcome, RecordChunk, RecordSource } from '../src/source.ts';

/** A client that says nothing, or tells `log`. */
export const testKafka = (
  log?: (level: logLevel, message: string) => void,
  config: Partial<KafkaConfig> = {},
) =>
  new Kafka({
    clientId: 'source-test',
    brokers: testStack().kafkaBrokers,
    logLevel: log === undefined ? logLevel.NOTHING : logLevel.INFO,
    logCreator: () => (entry) => log?.(entry.level, entry.log.message),
    retry: { initialRetryTime: 50 },
    ...config,
  });

export async function withAdmin<R>(use: (admin: ReturnType<Kafka['admin']>) => Promise<R>): Promise<R> {
  const admin = testKafka().admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** A topic with settings of its own. */
export async function createTopic(prefix: string, config: Partial<ITopicConfig>): Promise<string> {
  const topic = uniqueName(prefix);
  await withAdmin(async (admin) => {
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, ...config }], waitForLeaders: true });
  });
  return topic;
}

export async function produce(
  topic: string,
  messages: Message[],
  o: { partition?: number; compression?: number } = {},
): Promise<void> {
  const producer = testKafka().producer({ allowAutoTopicCreation: false });
  await producer.connect();
  await producer.send({
    topic,
    acks: -1,
    ...(o.compression === undefined ? {} : { compression: o.compression }),
    messages: messages.map((message) => ({ partition: o.partition ?? 0, ...message })),
  });
  await producer.disconnect();
}

export async function membersOf(groupId: string): Promise<number> {
  return withAdmin(async (admin) => (await admin.describeGroups([groupId])).groups[0]?.members.length ?? 0);
}

/** -1 while there is none. */
export async function committedOffset(groupId: string, topic: string, partition = 0): Promise<number> {
  return withAdmin(async (admin) => {
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
    return Number(found?.partitions.find((one) => one.partition === partition)?.offset ?? -1);
  });
}

/** Commits an offset for a group that has no members. */
export async function commitOffset(groupId: string, topic: string, offset: string): Promise<void> {
  const cluster = ownCluster(testKafka(), groupId);
  await cluster.connect();
  try {
    const coordinator = await cluster.findGroupCoordinator({ groupId });
    const topics = [{ topic, partitions: [{ partition: 0, offset }] }];
    await coordinator.offsetCommit({ groupId, memberId: '', groupGenerationId: -1, topics });
  } finally {
    await cluster.disconnect();
  }
}

/** Deletes the records before an offset. */
export async function deleteRecords(topic: string, offset: string): Promise<void> {
  await withAdmin(async (admin) => {
    await admin.fetchTopicOffsets(topic); // kafkajs wants to know the topic first
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] });
  });
}

export interface LogEntry {
  readonly level: keyof Logger;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export type OnChunk = (chunk: RecordChunk) => Promise<ChunkOutcome>;

export const accept: OnChunk = async (chunk) => {
  await chunk.commitOffsets();
  return 'accepted';
};

export interface StartedSource {
  readonly source: RecordSource;
  readonly groupId: string;
  readonly records: ConsumedRecord[];
  readonly log: LogEntry[];
  readonly counted: string[];
  /** `partition:offset` of what was delivered. */
  places(): string[];
}

/** Starts sources, and stops them after each test. */
export function useSources() {
  const running: RecordSource[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((source) => source.stop()));
  });
  return (
    options: Partial<KafkajsSourceOptions> & { topics: string[]; kafka?: Kafka; onChunk?: OnChunk },
  ): StartedSource => {
    const { kafka = testKafka(), onChunk = accept, ...rest } = options;
    const groupId = rest.groupId ?? uniqueName('group');
    const source = kafkajsSource(
      { kafka },
      { sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 10_000, heartbeatIntervalMs: 500, ...rest, groupId },
    );
    running.push(source);
    const records: ConsumedRecord[] = [];
    const log: LogEntry[] = [];
    const counted: string[] = [];
    const at = (level: keyof Logger) => (fields: object, message: string) => {
      log.push({ level, fields: fields as Record<string, unknown>, message });
    };
    source.start({
      logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
      count: (what) => counted.push(what),
      onChunk: (chunk) => {
        records.push(...chunk.records);
        return onChunk(chunk);
      },
    });
    const places = () => records.map((record) => `${record.partition}:${record.offset}`);
    return { source, groupId, records, log, counted, places };
  };
}

/** Polling that a busy machine does not break. */
export const soon = { timeout: 20_000, interval: 50 };

export const text = (value: string): Message => ({ value });

export { createTestTopic, testStack, uniqueName };
