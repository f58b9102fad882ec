import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnnouncedDeadLetter, deadLetterEvent, deadLettersTopic, topics } from '../src/index.ts';

const letter: AnnouncedDeadLetter = {
  id: '0b5e6a52-0a51-4c4e-9f1c-000000000001',
  consumerName: 'payment-worker',
  topic: 'orders.events',
  partition: 3,
  offset: '9007199254740993',
  eventId: 'event-1',
  reason: 'TypeError: x is not a function',
  attempts: 3,
  headers: { 'correlation-id': Buffer.from('req-1'), 'tenant-id': 'acme', ce_id: 'event-1', secret: 'x' },
};
const options = { topic: 'orders.dead-letters', now: new Date('2026-01-02T03:04:05.678Z') };

describe('the dead-letter event', () => {
  it('says where the record stands and why it was given up, with headers like other events’', () => {
    expect(deadLetterEvent(letter, options)).toEqual({
      id: letter.id,
      topic: 'orders.dead-letters',
      key: letter.id,
      type: 'dead_letter.added.v1',
      aggregateType: 'dead_letter',
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
        ce_type: 'dead_letter.added.v1',
        ce_source: '/orders/payment-worker',
        ce_time: '2026-01-02T03:04:05.678Z',
        ce_subject: letter.id,
        ce_dataschema: 'urn:orders:dead_letter.added.v1',
        'content-type': 'application/json',
        'correlation-id': 'req-1',
        'tenant-id': 'acme',
        'causation-id': 'event-1',
      },
    });
    expect(topics).toContain(deadLettersTopic);
  });

  it('passes on nothing that is no plain text, whatever the record claims', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    const bytes = fc.uint8Array({ maxLength: 300 });
    const claim = fc.oneof(text, bytes, fc.constant(null), fc.array(bytes, { maxLength: 2 }));
    const headers = fc.record({ 'correlation-id': claim, 'tenant-id': claim, traceparent: claim });
    fc.assert(
      fc.property(headers, fc.option(text), (claimed, eventId) => {
        const event = deadLetterEvent({ ...letter, headers: claimed, eventId }, options);
        const isPlain = (value: string) => /^[\x20-\x7e]{1,250}$/.test(value);
        expect(Object.values(event.headers).filter((value) => !isPlain(value))).toEqual([]);
      }),
    );
  });
});
