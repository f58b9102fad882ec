import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createOrderEventDecoder,
  type OrderCreatedEvent,
  type OrderEvent,
  orderEventTypes,
  orderingKey,
  ordersTopic,
  partitionKey,
  toOutboxEvent,
} from '../src/index.ts';

const created: OrderCreatedEvent = {
  id: '01900000-0000-7000-8000-000000000001',
  type: 'order.created.v1',
  time: '2026-01-02T03:04:05.678Z',
  tenantId: 'acme',
  customerId: 'c-1',
  correlationId: 'req-1',
  data: {
    orderId: '01900000-0000-7000-8000-00000000000a',
    version: 1,
    state: 'CREATED',
    customerId: 'c-1',
    currency: 'EUR',
    totalMinor: 4200,
    paymentMethod: 'tok_visa',
    items: [{ sku: 's', name: 'Tea', quantity: 2, unitAmountMinor: 2100 }],
  },
};

/** The record that Kafka would hand over for this event. */
function recordOf(event: OrderEvent, change: { headers?: Record<string, string>; value?: unknown } = {}) {
  const row = toOutboxEvent(event, ordersTopic.name);
  const headers = Object.entries({ ...row.headers, ...change.headers });
  return {
    key: Buffer.from(row.key),
    value: Buffer.from(JSON.stringify('value' in change ? change.value : row.payload)),
    headers: Object.fromEntries(headers.map(([name, value]) => [name, Buffer.from(value)])),
  };
}

const decode = createOrderEventDecoder({ types: ['order.created.v1'] });
const reasonOf = (record: Parameters<typeof decode>[0]) => {
  const decoded = decode(record);
  return decoded.kind === 'invalid' ? decoded.reason : decoded.kind;
};

describe('the order events', () => {
  it('carry the CloudEvents headers, and the two keys: tenant and customer for the partition, the order for order', () => {
    const row = toOutboxEvent(
      { ...created, causationId: 'cause', traceparent: '00-a-b-01' },
      'orders.events',
    );
    expect(row).toMatchObject({
      id: created.id,
      topic: 'orders.events',
      key: 'acme:c-1',
      orderingKey: created.data.orderId,
      payload: created.data,
    });
    expect(row.headers).toEqual({
      ce_specversion: '1.0',
      ce_id: created.id,
      ce_type: 'order.created.v1',
      ce_source: '/orders',
      ce_time: created.time,
      ce_subject: created.data.orderId,
      ce_dataschema: 'urn:orders:order.created.v1',
      'content-type': 'application/json',
      'correlation-id': 'req-1',
      'tenant-id': 'acme',
      'causation-id': 'cause',
      traceparent: '00-a-b-01',
    });
    expect([partitionKey(created), orderingKey(created)]).toEqual(['acme:c-1', created.data.orderId]);
    expect(orderEventTypes).toHaveLength(9);
  });

  it('survive the way through a record unchanged', () => {
    const customer = fc.string({ minLength: 1, unit: 'grapheme' });
    fc.assert(
      fc.property(
        customer,
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        (customerId, totalMinor) => {
          const event = { ...created, customerId, data: { ...created.data, customerId, totalMinor } };
          expect(decode(recordOf(event))).toEqual({ kind: 'event', id: event.id, event });
        },
      ),
    );
  });

  it('are skipped when their type is not handled, whatever they contain', () => {
    expect(decode(recordOf(created, { headers: { ce_type: 'order.paid.v1' }, value: 'anything' }))).toEqual({
      kind: 'skip',
    });
  });

  it('may carry fields that a newer producer added', () => {
    expect(decode(recordOf(created, { value: { ...created.data, giftWrap: true } })).kind).toBe('event');
  });
});

describe('an invalid record is refused with the precise problem', () => {
  const data = created.data;
  const cases: [string, Parameters<typeof decode>[0], RegExp][] = [
    ['no type', { ...recordOf(created), headers: {} }, /^header ce_type is missing$/],
    [
      'another major version',
      recordOf(created, { headers: { ce_type: 'order.created.v2' } }),
      /unknown major version/,
    ],
    ['no value', { ...recordOf(created), value: null }, /no value/],
    [
      'bytes that are not JSON',
      { ...recordOf(created), value: Buffer.from('{"a') },
      /value of 3 bytes is not JSON/,
    ],
    [
      'bytes that are not UTF-8',
      { ...recordOf(created), value: Buffer.from([0xff, 0xfe]) },
      /value of 2 bytes is not JSON/,
    ],
    ['a bad id', recordOf(created, { headers: { ce_id: 'x' } }), /header\/ce_id .*uuid/],
    [
      'a negative total',
      recordOf(created, { value: { ...data, totalMinor: -1 } }),
      /value\/totalMinor must be >= 1/,
    ],
    [
      'an unsafe total',
      recordOf(created, { value: { ...data, totalMinor: 2 ** 53 } }),
      /value\/totalMinor must be <=/,
    ],
    [
      'a text total',
      recordOf(created, { value: { ...data, totalMinor: '1' } }),
      /value\/totalMinor must be integer/,
    ],
    ['a wrong state', recordOf(created, { value: { ...data, state: 'PAID' } }), /value\/state/],
    ['no items', recordOf(created, { value: { ...data, items: [] } }), /value\/items/],
    [
      'another order in the subject',
      recordOf(created, { headers: { ce_subject: 'other' } }),
      /ce_subject is not the value/,
    ],
    ['a key of another tenant', { ...recordOf(created), key: Buffer.from('evil:c-1') }, /not of the tenant/],
  ];
  it.each(cases)('%s', (_name, record, reason) => {
    expect(reasonOf(record)).toMatch(reason);
  });

  it('never throws, whatever the bytes', () => {
    const bytes = fc.option(fc.uint8Array());
    const headers = fc.dictionary(fc.constantFrom('ce_type', 'ce_id', 'tenant-id'), fc.uint8Array());
    fc.assert(
      fc.property(bytes, bytes, headers, (key, value, rest) => {
        expect(['skip', 'invalid']).toContain(decode({ key, value, headers: { ...rest } }).kind);
      }),
    );
  });
});
