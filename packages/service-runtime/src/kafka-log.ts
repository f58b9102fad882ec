import type { KafkaSecurity } from './kafka-security.ts';
import type { Logger } from './logger.ts';

type Remedy = readonly [said: RegExp, advice: string];

/** What the clients and the brokers say, and what an operator does about it. The first that fits is taken. */
const remedies: readonly Remedy[] = [
  [
    /authentication failed|authentication error/i,
    'check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM: no user of the brokers fits them',
  ],
  [
    /not authori[sz]ed|authori[sz]ation failed/i,
    'grant the principal its rights, as in docs/security.md under "Kafka"',
  ],
  [
    /failed to find group coordinator/i,
    'if it stays, grant the principal Read on the group, as in docs/security.md under "Kafka"',
  ],
  [
    /certificate|altnames|unable to get.*issuer/i,
    'check that KAFKA_CA_FILE is the authority that signed the brokers’ certificate, and that KAFKA_BROKERS has the names in it',
  ],
  [
    /before secure TLS connection|wrong version number|packet length too long/i,
    'check KAFKA_TLS and the port: no TLS is spoken there',
  ],
];

const plainRemedy: Remedy = [
  /closed connection|requires TLS|ECONNRESET|socket hang up|disconnected/i,
  'if it stays, the brokers may want TLS at this port: set KAFKA_TLS=true',
];

/** What an operator does about what a Kafka client said; undefined where its words are all there is to say. */
export function kafkaAdvice(said: string, { ssl }: KafkaSecurity): string | undefined {
  const fitting = ssl === undefined ? [...remedies, plainRemedy] : remedies;
  return fitting.find(([pattern]) => pattern.test(said))?.[1];
}

/** How the brokers call us; their own name for whoever does not say. */
export const principalOf = ({ sasl }: KafkaSecurity): string => sasl?.username ?? 'ANONYMOUS';

/**
 * `logger` for whatever speaks to Kafka: a line about a client's failure that one can do something about also has the
 * `principal` and the `advice`.
 */
export function kafkaLogger(logger: Logger, security: KafkaSecurity): Logger {
  const advised = (fields: object, message: string): object => {
    const advice = kafkaAdvice(whatKafkaSaid(fields, message), security);
    return advice === undefined ? fields : { ...fields, principal: principalOf(security), advice };
  };
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(advised(fields, message), message),
    error: (fields, message) => logger.error(advised(fields, message), message),
  };
}

/** Nothing when the line is about something else, such as a database that refuses a password. */
function whatKafkaSaid(fields: { kafkajs?: string; error?: string; err?: unknown }, message: string): string {
  if (fields.kafkajs !== undefined) return `${message} ${fields.error}`;
  return isKafkas(fields.err) ? messagesOf(fields.err) : '';
}

/** Both clients have families of errors: by name kafkajs, by code @platformatic/kafka. */
function isKafkas(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { name, code } = error as Error & { code?: unknown };
  return name.startsWith('KafkaJS') || String(code).startsWith('PLT_KFK');
}

/** The error's message and those of the errors inside, where @platformatic/kafka has the reason. */
export function messagesOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > depthMax) return '';
  const inner = error instanceof AggregateError ? error.errors : [];
  return [error.message, ...[...inner, error.cause].map((one) => messagesOf(one, depth + 1))]
    .filter((text) => text !== '')
    .join(': ');
}

const depthMax = 5;
