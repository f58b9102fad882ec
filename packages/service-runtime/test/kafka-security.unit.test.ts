import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { Type } from 'typebox';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, kafkaConfig, kafkaProblems, kafkaSecurity, loadConfig } from '../src/index.ts';

const dir = mkdtempSync(join(tmpdir(), 'orders-kafka-security-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const ca = file('ca.crt', rootCertificates[0] ?? '');
const settings = (env: Record<string, string>) =>
  loadConfig(Type.Object(kafkaConfig), { KAFKA_BROKERS: 'a:9093', ...env });
const user = { KAFKA_SASL_USERNAME: 'outbox-relay', KAFKA_SASL_PASSWORD: 'hunter2' };

describe('kafkaSecurity', () => {
  it('is empty unless something is set', () => {
    expect(kafkaSecurity(settings({}))).toEqual({});
  });

  it('speaks TLS with the authority and the principal that were given', () => {
    expect(kafkaSecurity(settings({ KAFKA_TLS: 'true' }))).toEqual({ ssl: {} });
    expect(kafkaSecurity(settings({ KAFKA_TLS: 'true', KAFKA_CA_FILE: ca, ...user }))).toEqual({
      ssl: { ca: rootCertificates[0] },
      sasl: { mechanism: 'scram-sha-512', username: 'outbox-relay', password: 'hunter2' },
    });
  });

  it.each([
    ['a principal without TLS', user, 'KAFKA_SASL_USERNAME needs KAFKA_TLS=true'],
    ['a principal with TLS off', { ...user, KAFKA_TLS: 'false' }, 'KAFKA_SASL_USERNAME needs KAFKA_TLS=true'],
    ['an authority without TLS', { KAFKA_CA_FILE: ca }, 'KAFKA_CA_FILE needs KAFKA_TLS=true'],
    [
      'a name without a password',
      { KAFKA_TLS: 'true', KAFKA_SASL_USERNAME: 'x' },
      /needed both, or neither$/,
    ],
    [
      'a password without a name',
      { KAFKA_TLS: 'true', KAFKA_SASL_PASSWORD: 'hunter2' },
      /needed both, or neither$/,
    ],
    [
      'an authority that is not there',
      { KAFKA_TLS: 'true', KAFKA_CA_FILE: join(dir, 'none') },
      'KAFKA_CA_FILE cannot be read: ENOENT',
    ],
    [
      'an authority that is none',
      { KAFKA_TLS: 'true', KAFKA_CA_FILE: file('empty', '') },
      'KAFKA_CA_FILE holds no certificate in PEM',
    ],
  ] as [string, Record<string, string>, string | RegExp][])('refuses %s', (_, env, problem) => {
    expect(kafkaProblems(settings(env))).toEqual([
      typeof problem === 'string' ? problem : expect.stringMatching(problem),
    ]);
    const refused = () => kafkaSecurity(settings(env));
    expect(refused).toThrow(ConfigError);
    expect(refused).not.toThrow('hunter2');
  });
});
