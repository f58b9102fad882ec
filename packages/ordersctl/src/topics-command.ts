import { deadLettersTopic, ordersTopic, topics } from '@orders/events';
import {
  createKafka,
  type KafkaSecurity,
  kafkaAdvice,
  kafkaSecurity,
  messagesOf,
  principalOf,
} from '@orders/service-runtime';
import type { Admin } from 'kafkajs';
import { readTopicsConfig } from './config.ts';
import { OrdersctlError } from './errors.ts';
import { answer, type CommonOptions, type Output } from './output.ts';
import { applyTopics } from './topics.ts';

/** `ordersctl topics apply` */
export async function applyDeclaredTopics(
  output: Output,
  options: CommonOptions & { replicationFactor?: number },
): Promise<void> {
  const config = readTopicsConfig();
  const { KAFKA_BROKERS: brokers, TOPICS_REPLICATION_FACTOR } = config;
  const security = kafkaSecurity(config);
  const replicationFactor = options.replicationFactor ?? TOPICS_REPLICATION_FACTOR;
  const names = new Map([
    [ordersTopic, config.ORDERS_TOPIC],
    [deadLettersTopic, config.DEAD_LETTERS_TOPIC],
  ]);
  const declared = topics.map((topic) => ({ ...topic, name: names.get(topic) ?? topic.name }));

  const logger = clientLog(output, options);
  const admin = createKafka({ brokers, clientId: 'ordersctl', security, logger }).admin();
  try {
    await connect(admin, brokers);
    const applied = await applyTopics(
      admin,
      declared,
      replicationFactor === undefined ? {} : { replicationFactor },
    );
    answer(
      output,
      options,
      { topics: applied },
      applied.map(({ name, partitions, outcome }) => `${outcome} ${name} (${partitions} partitions)`),
    );
  } catch (error) {
    throw withAdvice(error as Error, security);
  } finally {
    await admin.disconnect();
  }
}

async function connect(admin: Admin, brokers: string): Promise<void> {
  try {
    await admin.connect();
  } catch (error) {
    const message = `Kafka cannot be reached at ${brokers}: ${(error as Error).message}`;
    throw new OrdersctlError('ORDERSCTL_UNREACHABLE', message, { cause: error });
  }
}

/** The same error, with who was refused and what to do about it, where there is something to do. */
function withAdvice(error: Error, security: KafkaSecurity): Error {
  const advice = kafkaAdvice(messagesOf(error), security);
  if (advice === undefined) return error;
  const code = error instanceof OrdersctlError ? error.code : 'ORDERSCTL_TOPIC_REFUSED';
  const message = `${error.message} (as ${principalOf(security)}): ${advice}`;
  return new OrdersctlError(code, message, { cause: error });
}

/** What goes wrong for good reaches the operator as the command's error; the client's own log is for `--verbose`. */
function clientLog(output: Output, options: CommonOptions) {
  const write = (fields: object, message: string) => {
    if (options.verbose) output.err(`${JSON.stringify({ msg: message, ...fields })}\n`);
  };
  return { debug: () => undefined, info: () => undefined, warn: write, error: write };
}
