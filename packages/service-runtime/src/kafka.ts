import { Kafka, type LogEntry, logLevel, type SASLOptions } from 'kafkajs';
import { kafkaLogger } from './kafka-log.ts';
import type { KafkaSecurity } from './kafka-security.ts';
import { stopIdleTimers } from './kafkajs-idle-timer.ts';
import type { Logger } from './logger.ts';

/**
 * A kafkajs client as our services use it: its log goes through `logger`, its idle timer loop is off.
 * `brokers` are `host:port`, as a list or separated by commas.
 */
export function createKafka(options: {
  brokers: string | readonly string[];
  clientId: string;
  logger: Logger;
  security?: KafkaSecurity;
}): Kafka {
  const { brokers, clientId, security = {} } = options;
  const logger = kafkaLogger(options.logger, security);
  if (!stopIdleTimers())
    logger.debug({}, 'this kafkajs is not the one whose idle timers we know how to stop');
  const list = typeof brokers === 'string' ? brokers.split(',') : brokers;
  return new Kafka({
    clientId,
    brokers: list.map((broker) => broker.trim()).filter((broker) => broker !== ''),
    ...(security.ssl === undefined ? {} : { ssl: security.ssl }),
    ...(security.sasl === undefined ? {} : { sasl: security.sasl as SASLOptions }),
    connectionTimeout: 5000,
    retry: { initialRetryTime: 100, maxRetryTime: 5000 },
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => logEntry(logger, entry),
  });
}

/** Said at first contact with a new broker or group, and retried by kafkajs: nobody needs to see it. */
const normalAtFirst = 'The group coordinator is not available';

function logEntry(logger: Logger, { namespace, level, log }: LogEntry): void {
  const { message, timestamp: _, logger: __, ...fields } = log;
  const entry = { kafkajs: namespace, ...fields };
  if (`${message} ${log.error}`.includes(normalAtFirst)) logger.debug(entry, message);
  else if (level === logLevel.ERROR) logger.error(entry, message);
  else if (level === logLevel.WARN) logger.warn(entry, message);
  else if (level === logLevel.INFO) logger.info(entry, message);
  else logger.debug(entry, message);
}
