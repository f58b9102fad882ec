import { KafkaJSNumberOfRetriesExceeded } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { createLogger, kafkaAdvice, kafkaLogger, messagesOf } from '../src/index.ts';

const secured = { ssl: {}, sasl: { mechanism: 'scram-sha-512', username: 'relay', password: 'x' } } as const;

function logged(fields: object, security: Parameters<typeof kafkaLogger>[1] = secured) {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  kafkaLogger(createLogger({ service: 'shop', destination }), security).warn(fields, 'it failed');
  return JSON.parse(lines[0] ?? 'null');
}

/** As @platformatic/kafka nests them. */
const nested = Object.assign(
  new AggregateError(
    [Object.assign(new Error('SASL authentication failed.'), { code: 'PLT_KFK_AUTHENTICATION' })],
    'Cannot connect to any broker.',
  ),
  { code: 'PLT_KFK_MULTIPLE' },
);

describe('kafkaLogger', () => {
  it('says who was refused and what to do, of a client’s error or of kafkajs’s own line', () => {
    const expected = { principal: 'relay', advice: expect.stringContaining('KAFKA_SASL_PASSWORD') };
    expect(logged({ err: nested })).toMatchObject({
      ...expected,
      err: { errors: [{ code: 'PLT_KFK_AUTHENTICATION', message: 'SASL authentication failed.' }] },
    });
    expect(
      logged({ kafkajs: 'Connection', error: 'Authentication failed during authentication' }),
    ).toMatchObject(expected);
  });

  it('leaves everything else as it is: another system’s refusal, a failure that nothing can be done about', () => {
    for (const err of [
      Object.assign(new Error('password authentication failed for user "relay"'), { code: '28P01' }),
      new KafkaJSNumberOfRetriesExceeded(new Error('Connection timeout'), { retryCount: 1, retryTime: 1 }),
    ])
      expect(logged({ topic: 't', err })).not.toHaveProperty('advice');
  });

  it('a connection that is closed at once is a hint at TLS only to whoever speaks none', () => {
    const fields = { kafkajs: 'BrokerPool', error: 'Closed connection' };
    expect(logged(fields, {})).toMatchObject({
      principal: 'ANONYMOUS',
      advice: expect.stringContaining('KAFKA_TLS=true'),
    });
    expect(logged(fields)).not.toHaveProperty('advice');
  });
});

it.each([
  ['Not authorized to access topics: [Topic authorization failed]', /its rights/],
  ['Not authorized to access group: Group authorization failed', /its rights/],
  ['Failed to find group coordinator', /Read on the group/],
  ['Connection error: self-signed certificate in certificate chain', /KAFKA_CA_FILE/],
  ["Hostname/IP does not match certificate's altnames", /KAFKA_BROKERS/],
  ['Client network socket disconnected before secure TLS connection was established', /no TLS is spoken/],
])('%s', (said, advice) => {
  expect(kafkaAdvice(said, secured)).toMatch(advice);
});

it('messagesOf gathers the messages inside, and ends at a circle', () => {
  const circle = new Error('round');
  circle.cause = circle;
  expect(messagesOf(nested)).toBe('Cannot connect to any broker.: SASL authentication failed.');
  expect(messagesOf(circle).split(': ').length).toBeLessThan(10);
});
