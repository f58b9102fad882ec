import { createOrderEventDecoder, orderEventTypes, toOutboxEvent } from '@orders/events';
import { describe, expect, it } from 'vitest';
import { decide, type Order, type OrderCommand, transitions } from '../src/index.ts';
import { eventOf } from '../src/order.ts';

const decode = createOrderEventDecoder({ types: orderEventTypes });
const failure = { code: 'insufficient_funds', attempts: 3 };

/** One command of each type, complete. */
const commands: Record<OrderCommand['type'], OrderCommand> = {
  startPayment: { type: 'startPayment' },
  markPaid: { type: 'markPaid' },
  fail: { type: 'fail', failure },
  review: { type: 'review', failure },
  requestCancel: { type: 'requestCancel' },
  cancel: { type: 'cancel' },
  requestRefund: { type: 'requestRefund' },
  refund: { type: 'refund', amountMinor: 500 },
  partlyRefund: { type: 'partlyRefund', amountMinor: 100 },
  retryPayment: { type: 'retryPayment' },
};

const order: Order = {
  id: '01900000-0000-7000-8000-000000000000',
  tenantId: 'acme',
  customerId: 'c-1',
  state: 'CREATED',
  version: 1,
  currency: 'EUR',
  totalMinor: 500,
  paymentMethod: 'tok_visa',
  items: [{ sku: 'tea', name: 'Tea', quantity: 1, unitAmountMinor: 500 }],
  metadata: { channel: 'web' },
  failure: null,
  correlationId: 'req-1',
  createdAt: new Date(),
  updatedAt: new Date(),
};

/** The event as a consumer would decode it from the topic. */
function received(after: Order, type: Parameters<typeof eventOf>[1], command: OrderCommand | null) {
  const event = eventOf(after, type, command, { causationId: 'cause-1' });
  const { key, payload, headers } = toOutboxEvent(event, 'orders.events');
  const record = { key: Buffer.from(key), value: Buffer.from(JSON.stringify(payload)), headers };
  return { event, decoded: decode(record) };
}

describe('the event of a transition', () => {
  it.each(Object.entries(transitions))('%s is one that consumers accept', (type, rule) => {
    const command = commands[type as OrderCommand['type']];
    for (const from of rule.from) {
      const decision = decide(from, command);
      expect(decision).toMatchObject({ kind: 'transition' });
      const after = { ...order, state: rule.to, version: 2, failure: 'failure' in command ? failure : null };
      const { event, decoded } = received(after, rule.event, command);
      expect(decoded).toEqual({ kind: 'event', id: event.id, event });
    }
  });

  it('order.created carries what a fold needs to rebuild the order', () => {
    const { event, decoded } = received(order, 'order.created.v1', null);
    expect(decoded).toEqual({ kind: 'event', id: event.id, event });
    const { customerId, currency, totalMinor, paymentMethod, items, metadata } = order;
    const content = { customerId, currency, totalMinor, paymentMethod, items, metadata };
    expect(event.data).toEqual({ orderId: order.id, version: 1, state: 'CREATED', ...content });
  });

  it('order.refunded says how much: all, or a part that leaves the order PAID', () => {
    const refunded = { ...order, state: 'PAID' as const, version: 5 };
    expect(received(refunded, 'order.refunded.v1', commands.partlyRefund).event.data).toEqual({
      orderId: order.id,
      version: 5,
      state: 'PAID',
      amountMinor: 100,
      currency: 'EUR',
    });
  });
});
