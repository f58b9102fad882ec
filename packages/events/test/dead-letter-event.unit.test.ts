import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DeadLetterNotice, deadLetterEvent, deadLettersTopic, topics } from '../src/index.ts';

const letter: DeadLetterNotice = {
  id: '0b5e6a52-0a51-4c4e-9f1c-000000000001',
  consumerName: 'payment-worker',
  topic: 'orders.events',
  partition: 3,
  offset: '9007199254740993',
  eventId: 'event-1',
  reason: 'TypeError: x is not a function',
  attempts: 3,
  key: Buffer.from('acme:c-1'),
  headers: { 'correlation-id': Buffer.from('req-1'), 'tenant-id': 'acme', ce_id: 'event-1', secret: 'x' },
};
const failedAt = new Date('2026-01-02T03:04:05.678Z');

describe('the dead-letter event', () => {
  it('says where the record stands and why it was given up, with headers like other events’', () => {
    expect(deadLetterEvent(letter, { failedAt })).toEqual({
      id: letter.id,
      topic: 'orders.dead-letters',
      key: 'acme:c-1',
      type: 'dead-letter.added.v1',
      aggregateType: 'dead-letter',
      orderingKey: letter.id,
      payload: {
        id: letter.id,
        consumerName: 'payment-worker',
        topic: 'orders.events',
        partition: 3,
        offset: '9007199254740993',
        eventId: 'event-1',
        reason: 'TypeError: x is not a function',
        attempts: 3,
        failedAt: '2026-01-02T03:04:05.678Z',
      },
      headers: {
        ce_specversion: '1.0',
        ce_id: letter.id,
        ce_type: 'dead-letter.added.v1',
        ce_source: '/orders/payment-worker',
        ce_time: '2026-01-02T03:04:05.678Z',
        ce_subject: letter.id,
        'content-type': 'application/json',
        'correlation-id': 'req-1',
        'tenant-id': 'acme',
        'causation-id': 'event-1',
      },
    });
    expect(topics).toContain(deadLettersTopic);
  });

  it('can be stored whatever the record claims: no U+0000, no half of a surrogate pair, nothing long', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    const bytes = fc.uint8Array({ maxLength: 300 });
    const claim = fc.oneof(text, bytes, fc.constant(null), fc.array(bytes, { maxLength: 2 }));
    const claims = fc.record({
      reason: text,
      key: fc.option(bytes),
      eventId: fc.option(text.map((id) => id.replaceAll('\u0000', '').toWellFormed())),
      headers: fc.record({ 'correlation-id': claim, 'tenant-id': claim, traceparent: claim }),
    });
    fc.assert(
      fc.property(claims, (claimed) => {
        const event = deadLetterEvent({ ...letter, ...claimed }, { failedAt });
        const json = JSON.stringify({ ...event.headers, ...event.payload });
        expect(json).not.toMatch(/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/);
        for (const value of [event.key, ...Object.values(event.headers)])
          expect(value).toMatch(/^[\x20-\x7e]+$/);
        expect(json.length).toBeLessThan(20_000);
      }),
      {
        examples: [[{ reason: '\ud800\u0000'.repeat(5_000), key: null, eventId: null, headers: noHeaders }]],
      },
    );
  });
});

const noHeaders = { 'correlation-id': null, 'tenant-id': null, traceparent: null };
