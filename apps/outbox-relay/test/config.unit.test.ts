import { startService } from '@orders/dev-stack';
import { describe, expect, it } from 'vitest';

const entry = new URL('../src/main.ts', import.meta.url);

describe('the configuration of outbox-relay', () => {
  it('with a wrong environment it ends at once: one line names every problem, none prints a value', async () => {
    const env = {
      KAFKA_BROKERS: '',
      LOG_LEVEL: 'hunter2',
      PUBLISHER: 'hunter2',
      RELAY_BATCH_SIZE_MAX: '0',
      RELAY_LEASE_MS: 'hunter2',
    };
    const relay = await startService({ name: 'outbox-relay', entry, env });
    expect(await relay.exited).toEqual({ code: 1, signal: null });
    expect(relay.logs).toHaveLength(1);
    expect(relay.logs[0]).toMatchObject({
      level: 'error',
      service: 'outbox-relay',
      code: 'RUNTIME_CONFIG_INVALID',
      problems: expect.arrayContaining([
        'DATABASE_URL is missing',
        'KAFKA_BROKERS is empty or too short',
        expect.stringMatching(/^LOG_LEVEL must be one of/),
        'PUBLISHER must be one of kafkajs, platformatic',
        'RELAY_BATCH_SIZE_MAX must be >= 1',
        'RELAY_LEASE_MS must be integer',
      ]),
    });
    expect(JSON.stringify(relay.logs)).not.toContain('hunter2');
  });
});
