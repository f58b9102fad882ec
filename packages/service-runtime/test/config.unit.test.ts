import { Type } from 'typebox';
import { describe, expect, it } from 'vitest';
import { ConfigError, databaseConfig, kafkaConfig, loadConfig, serviceConfig } from '../src/index.ts';

const Config = Type.Object({
  ...serviceConfig,
  ...databaseConfig,
  ...kafkaConfig,
  RATE: Type.Number({ default: 0.5 }),
});

const sound = { DATABASE_URL: 'postgres://u:hunter2@db/orders', KAFKA_BROKERS: 'a:9092,b:9092' };

function problemsOf(env: Record<string, string>): ConfigError {
  try {
    loadConfig(Config, env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('loadConfig', () => {
  it('makes numbers of texts, fills in defaults, drops what it does not know, and freezes', () => {
    const config = loadConfig(Config, { ...sound, PROBE_PORT: '8081', RATE: '0.7', HOME: '/root' });
    expect(config).toEqual({
      ...sound,
      LOG_LEVEL: 'info',
      PROBE_PORT: 8081,
      SHUTDOWN_TIMEOUT_MS: 25_000,
      DATABASE_POOL_MAX: 10,
      ORDERS_TOPIC: 'orders.events',
      DEAD_LETTERS_TOPIC: 'orders.dead-letters',
      KAFKA_TLS: false,
      KAFKA_SASL_MECHANISM: 'scram-sha-512',
      RATE: 0.7,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each(['nonsense', 'http://u:hunter2@db/orders', 'postgres:orders'])(
    'says that %j is no address of a PostgreSQL',
    (DATABASE_URL) => {
      expect(problemsOf({ ...sound, DATABASE_URL }).message).toContain(
        'DATABASE_URL must begin with postgres://',
      );
      expect(problemsOf({ ...sound, DATABASE_URL }).message).not.toContain('hunter2');
    },
  );

  it('reads the environment unless given another, and leaves both as they are', () => {
    const path = process.env.PATH;
    expect(loadConfig(Type.Object({ PATH: Type.String() }))).toEqual({ PATH: path });
    const env = { ...sound, PROBE_PORT: '1', UNKNOWN: 'x' };
    loadConfig(Config, env);
    expect(env).toEqual({ ...sound, PROBE_PORT: '1', UNKNOWN: 'x' });
    expect(loadConfig(Config, sound)).not.toHaveProperty('PROBE_PORT');
  });

  it('reports all problems together, in words, and prints no value', () => {
    const error = problemsOf({
      DATABASE_URL: '',
      DATABASE_POOL_MAX: 'hunter2',
      LOG_LEVEL: 'loud-hunter2',
      PROBE_PORT: '70000',
      RATE: '',
    });
    expect(error).toMatchObject({ code: 'RUNTIME_CONFIG_INVALID', name: 'ConfigError' });
    expect([...error.problems].sort()).toEqual([
      'DATABASE_POOL_MAX must be integer',
      'DATABASE_URL is empty or too short',
      'KAFKA_BROKERS is missing',
      'LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent',
      'PROBE_PORT must be <= 65535',
      'RATE must be number',
    ]);
    for (const problem of error.problems) expect(error.message).toContain(problem);
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('hunter2');
  });
});
