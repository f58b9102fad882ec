import { envSchema } from 'env-schema';
import { type Static, type TObject, Type } from 'typebox';
import { ConfigError } from './errors.ts';

/** How much a service logs. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
/** How much a service logs. */
export type LogLevel = (typeof logLevels)[number];

/** What every service is configured with; to be spread into its schema. */
export const serviceConfig = {
  LOG_LEVEL: Type.Enum([...logLevels], { default: 'info' }),
  /** Where /livez and /readyz are served, by services that serve nothing else. Without it there are no probes. */
  PROBE_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
  /** A drain that takes longer is cut off; shorter than the orchestrator's own patience (30 s by default). */
  SHUTDOWN_TIMEOUT_MS: Type.Integer({ default: 25_000, minimum: 1 }),
};

/** For services that use the database. */
export const databaseConfig = {
  /** The driver takes anything else for a host's name, and its error then names a host that nobody has set. */
  DATABASE_URL: Type.String({ minLength: 1, pattern: '^(postgres(ql)?://|$)' }),
  DATABASE_POOL_MAX: Type.Integer({ default: 10, minimum: 1, maximum: 1000 }),
};

/** For services that use Kafka. */
export const kafkaConfig = {
  /** `host:port`, several of them separated by commas. */
  KAFKA_BROKERS: Type.String({ minLength: 1 }),
  ORDERS_TOPIC: Type.String({ default: 'orders.events', minLength: 1 }),
  DEAD_LETTERS_TOPIC: Type.String({ default: 'orders.dead-letters', minLength: 1 }),
  KAFKA_TLS: Type.Boolean({ default: false }),
  /** Certificate of the authority that signed the brokers' (PEM); the system's authorities when absent. */
  KAFKA_CA_FILE: Type.Optional(Type.String({ minLength: 1 })),
  KAFKA_SASL_MECHANISM: Type.Enum(['scram-sha-512', 'scram-sha-256'], { default: 'scram-sha-512' }),
  KAFKA_SASL_USERNAME: Type.Optional(Type.String({ minLength: 1 })),
  KAFKA_SASL_PASSWORD: Type.Optional(Type.String({ minLength: 1 })),
};

/**
 * The environment as `schema` describes it: texts made numbers, defaults filled in, variables that it does not name
 * dropped, frozen.
 * @throws ConfigError (RUNTIME_CONFIG_INVALID) that names all problems together and prints no value: it may be a secret
 */
export function loadConfig<T extends TObject>(
  schema: T,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<Static<T>> {
  try {
    // Copies, because envSchema writes into both.
    return Object.freeze(envSchema<Static<T>>({ schema: { ...schema }, data: { ...env }, env: false }));
  } catch (error) {
    const { errors } = error as { errors?: readonly SchemaProblem[] };
    if (errors === undefined) throw error;
    throw new ConfigError(errors.map(inWords));
  }
}

interface SchemaProblem {
  instancePath: string;
  keyword: string;
  message?: string;
  params: { missingProperty?: string; allowedValues?: readonly unknown[] };
}

function inWords({ instancePath, keyword, message, params }: SchemaProblem): string {
  if (keyword === 'required') return `${params.missingProperty} is missing`;
  const name = instancePath.slice(1);
  if (keyword === 'enum') return `${name} must be one of ${params.allowedValues?.join(', ')}`;
  if (name === 'DATABASE_URL' && keyword === 'pattern') return `${name} must begin with postgres://`;
  if (keyword === 'minLength') return `${name} is empty or too short`;
  return `${name} ${message ?? 'is invalid'}`;
}
