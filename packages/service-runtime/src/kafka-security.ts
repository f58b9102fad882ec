import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Static, TObject } from 'typebox';
import type { kafkaConfig } from './config.ts';
import { ConfigError } from './errors.ts';

/** How a client proves who it is, and knows whom it speaks to. Empty for a broker that asks for neither. */
export interface KafkaSecurity {
  /** TLS with the host's name verified; the system's certification authorities unless there is a `ca` (PEM). */
  readonly ssl?: { readonly ca?: string };
  readonly sasl?: {
    readonly mechanism: 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
}

type KafkaSettings = Static<TObject<typeof kafkaConfig>>;

/** What is wrong with the settings taken together; prints no value. */
export function kafkaProblems(settings: KafkaSettings): string[] {
  const { KAFKA_TLS, KAFKA_CA_FILE, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD } = settings;
  const problems: string[] = [];
  if ((KAFKA_SASL_USERNAME === undefined) !== (KAFKA_SASL_PASSWORD === undefined))
    problems.push('KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are needed both, or neither');
  // SCRAM sends no password, but without TLS whoever listens may guess it at leisure, or take over the connection.
  if (!KAFKA_TLS && KAFKA_SASL_USERNAME !== undefined)
    problems.push('KAFKA_SASL_USERNAME needs KAFKA_TLS=true');
  if (!KAFKA_TLS && KAFKA_CA_FILE !== undefined) problems.push('KAFKA_CA_FILE needs KAFKA_TLS=true');
  const unreadable = KAFKA_CA_FILE === undefined ? undefined : problemOfCertificate(KAFKA_CA_FILE);
  if (unreadable !== undefined) problems.push(`KAFKA_CA_FILE ${unreadable}`);
  return problems;
}

function problemOfCertificate(file: string): string | undefined {
  try {
    new X509Certificate(readFileSync(file));
    return undefined;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    return syscall === undefined ? 'holds no certificate in PEM' : `cannot be read: ${code}`;
  }
}

/** Reads the certification authority's file. @throws ConfigError where the settings contradict each other */
export function kafkaSecurity(settings: KafkaSettings): KafkaSecurity {
  const problems = kafkaProblems(settings);
  if (problems.length > 0) throw new ConfigError(problems);
  if (!settings.KAFKA_TLS) return {};
  const { KAFKA_CA_FILE, KAFKA_SASL_MECHANISM: mechanism } = settings;
  const { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = settings;
  return {
    ssl: KAFKA_CA_FILE === undefined ? {} : { ca: readFileSync(KAFKA_CA_FILE, 'utf8') },
    ...(username === undefined || password === undefined ? {} : { sasl: { mechanism, username, password } }),
  };
}
