import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicDeclaration } from '@orders/events';
import type { Admin } from 'kafkajs';
import { OrdersctlError } from './errors.ts';

/** What became of a declared topic. */
export interface AppliedTopic {
  readonly name: string;
  readonly partitions: number;
  readonly outcome: 'created' | 'unchanged';
}

const leadersTimeoutDefaultMs = 30_000;
const leadersPollIntervalMs = 50;
/** Kafka's own notation for "as the broker is configured". */
const brokersDefault = -1;

/**
 * Creates the declared topics that do not exist and waits until every partition has a leader. An existing topic
 * is never changed; if one has another number of partitions, nothing is created at all.
 * @throws OrdersctlError `ORDERSCTL_TOPIC_MISMATCH`, `ORDERSCTL_TOPIC_REFUSED`, `ORDERSCTL_TOPIC_NOT_READY`
 */
export async function applyTopics(
  admin: Admin,
  declared: readonly TopicDeclaration[],
  options: { replicationFactor?: number; leadersTimeoutMs?: number } = {},
): Promise<AppliedTopic[]> {
  const existing = new Set(await admin.listTopics());
  const present = declared.filter(({ name }) => existing.has(name));
  for (const topic of present) checkPartitions(topic, await partitionsOf(admin, topic.name));

  const applied: AppliedTopic[] = [];
  for (const topic of declared) {
    const created = !existing.has(topic.name) && (await create(admin, topic, options.replicationFactor));
    await untilLed(admin, topic, options.leadersTimeoutMs ?? leadersTimeoutDefaultMs);
    applied.push({ ...topic, outcome: created ? 'created' : 'unchanged' });
  }
  return applied;
}

/** False when somebody else has created it in the meantime. */
async function create(admin: Admin, topic: TopicDeclaration, replicationFactor = brokersDefault) {
  const { name, partitions: numPartitions } = topic;
  try {
    // kafkajs's own waiting for leaders fails now and then right after the creation.
    const topics = [{ topic: name, numPartitions, replicationFactor }];
    return await admin.createTopics({ topics, waitForLeaders: false });
  } catch (error) {
    const [reason = error] = (error as { errors?: unknown[] }).errors ?? [];
    const message = `Kafka refuses to create topic ${name}: ${(reason as Error).message}`;
    throw new OrdersctlError('ORDERSCTL_TOPIC_REFUSED', message, { cause: error });
  }
}

function checkPartitions({ name, partitions }: TopicDeclaration, found: number): void {
  if (found === partitions) return;
  throw new OrdersctlError(
    'ORDERSCTL_TOPIC_MISMATCH',
    `topic ${name} has ${found} partitions where ${partitions} are declared; nothing was changed: ` +
      'another number would send the later events of a key to another partition',
  );
}

async function partitionsOf(admin: Admin, name: string): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
  return topics[0]?.partitions.length ?? 0;
}

async function untilLed(admin: Admin, topic: TopicDeclaration, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const partitions = await partitionsLed(admin, topic.name);
    if (partitions > 0) {
      checkPartitions(topic, partitions); // it may have been created by somebody else just now
      return;
    }
    if (performance.now() >= deadline) {
      const message = `topic ${topic.name} still lacks a leader for some partitions after ${timeoutMs} ms`;
      throw new OrdersctlError('ORDERSCTL_TOPIC_NOT_READY', message);
    }
    await sleep(leadersPollIntervalMs);
  }
}

/** Said about a topic that is being created. */
const notYet = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
]);

/** How many partitions the topic has, 0 until each has a leader that answers. */
async function partitionsLed(admin: Admin, name: string): Promise<number> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
    const partitions = topics[0]?.partitions ?? [];
    if (!partitions.every(({ leader }) => leader >= 0)) return 0;
    // A leader is announced before the broker knows that it is the one: only its own answer says so.
    await admin.fetchTopicOffsets(name);
    return partitions.length;
  } catch (error) {
    const { type, cause } = error as { type?: string; cause?: { type?: string } };
    if (notYet.has(type ?? cause?.type ?? '')) return 0;
    throw error;
  }
}
