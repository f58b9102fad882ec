import { type Command, InvalidArgumentError } from 'commander';

/** Adds the options that every command has. */
export const common = (command: Command): Command =>
  command
    .option('--json', 'answer in JSON')
    .option('--verbose', 'show the stack of an error and the Kafka client’s log');

export const databaseEnvironment = `
Environment:
  DATABASE_URL  postgres://user:password@host:port/database`;

export const topicsEnvironment = `
Environment:
  KAFKA_BROKERS              host:port, several separated by commas
  KAFKA_TLS, KAFKA_CA_FILE, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM
  ORDERS_TOPIC               another name for orders.events
  DEAD_LETTERS_TOPIC         another name for orders.dead-letters
  TOPICS_REPLICATION_FACTOR  see --replication-factor`;

export function positiveInteger(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('It must be a positive integer.');
  return Number(text);
}

export function apiKeyId(text: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
    throw new InvalidArgumentError('It must be the id of a key, not the key.');
  return text.toLowerCase();
}

export function deadLetterId(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text))
    throw new InvalidArgumentError('It must be a number from `dead-letters`.');
  return Number(text);
}
