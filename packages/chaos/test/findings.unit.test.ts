import { describe, expect, it } from 'vitest';
import { findings } from '../src/findings.ts';
import type { Answer } from '../src/order-load.ts';
import type { RunRecords } from '../src/records-of-a-run.ts';

const answer = (change: Partial<Answer> = {}): Answer => ({
  key: 'key-1',
  status: 201,
  text: 'paid',
  repeated: false,
  ...change,
});
const answers = [answer(), answer({ repeated: true }), answer({ key: 'key-2', text: 'failed' })];

const event = (orderId: string, version: number) => ({
  orderId,
  version,
  eventId: `${orderId}-${version}`,
  type: 'order',
});
const charge = (reference: string, outcome: 'captured' | 'declined') => ({
  at: '2026-01-01T00:00:00Z',
  key: reference,
  reference,
  outcome,
  amountMinor: 1,
  currency: 'EUR',
  paymentMethod: 'tok_visa',
});

/** One order PAID and one FAILED, everything in its place. */
const records: RunRecords = {
  orders: [
    { id: 'paid', state: 'PAID', version: 2 },
    { id: 'failed', state: 'FAILED', version: 1 },
  ],
  orderEvents: [event('paid', 1), event('paid', 2), event('failed', 1)],
  outbox: ['paid-1', 'paid-2', 'failed-1'].map((eventId) => ({ eventId, published: true })),
  topic: [['paid-1', 'failed-1', 'paid-1', 'paid-2']],
  inbox: ['paid-1', 'failed-1'],
  deadLetters: 0,
  ledger: [charge('paid', 'captured'), charge('failed', 'declined')],
};
const given = (change: Partial<RunRecords>) => findings(answers, { ...records, ...change });

describe('the findings of a run', () => {
  it('are none when all is well; an event that the topic has twice is none either', () => {
    expect(findings(answers, records)).toEqual([]);
  });

  it.each<[string, Answer, string]>([
    [
      'a refused request',
      answer({ key: 'key-3', status: 503, text: 'no' }),
      'key-3 was not answered 201 but 503: no',
    ],
    ['a lost order', answer({ key: 'key-3', text: 'gone' }), 'order gone was accepted and is lost'],
    ['a key with two orders', answer({ text: 'failed' }), 'key-1 was answered failed, after paid'],
  ])('%s', (_, extra, finding) => {
    expect(findings([...answers, extra], records)).toEqual([finding]);
  });

  const [paid, failed] = records.orders as [RunRecords['orders'][0], RunRecords['orders'][0]];
  it.each<[string, Partial<RunRecords>, string]>([
    [
      'an order nobody was told of',
      { orders: [paid, failed, { ...failed, id: 'x', version: 0 }] },
      'order x stands, and nobody was told',
    ],
    [
      'an order that is not at its end',
      { orders: [paid, { ...failed, state: 'CREATED' }] },
      'order failed is CREATED',
    ],
    [
      'a version without its event',
      { orders: [{ ...paid, version: 3 }, failed] },
      'order paid has version 3 and 2 events',
    ],
    [
      'a gap in the chain',
      { orderEvents: [event('paid', 1), { ...event('paid', 3), eventId: 'paid-2' }, event('failed', 1)] },
      'order paid: event 3 stands where 2 is due',
    ],
    ['an event that the outbox lacks', { outbox: records.outbox.slice(1) }, 'outbox: paid-1 is missing'],
    [
      'an event that the outbox has twice',
      { outbox: [...records.outbox, records.outbox[0]!] },
      'outbox: paid-1 is one too many',
    ],
    [
      'an unpublished event',
      { outbox: [...records.outbox.slice(1), { eventId: 'paid-1', published: false }] },
      'outbox: paid-1 is not published',
    ],
    [
      'an event that the topic lacks',
      { topic: [['paid-1', 'paid-2']] },
      'topic: 1 lost, 0 inverted, 0 unexpected; lost: failed-1 of failed',
    ],
    [
      'events in the wrong order',
      { topic: [['paid-2', 'paid-1', 'failed-1']] },
      'topic: 0 lost, 1 inverted, 0 unexpected; inverted: paid-1 appears after paid-2, both of paid',
    ],
    ['an order that the worker has not accepted', { inbox: ['paid-1'] }, 'inbox: failed-1 is missing'],
    ['an event accepted twice', { inbox: [...records.inbox, 'paid-1'] }, 'inbox: paid-1 is one too many'],
    ['a dead letter', { deadLetters: 1 }, '1 dead letters'],
    ['a payment that is missing', { ledger: [] }, 'order paid is PAID and was captured 0 times'],
    [
      'a double charge',
      { ledger: [...records.ledger, charge('paid', 'captured')] },
      'order paid is PAID and was captured 2 times',
    ],
    [
      'a charge of a FAILED order',
      { ledger: [...records.ledger, charge('failed', 'captured')] },
      'order failed is FAILED and was captured 1 times',
    ],
    [
      'a charge of no order',
      { ledger: [...records.ledger, charge('x', 'captured')] },
      'x was captured and is no order',
    ],
  ])('%s', (_, change, finding) => {
    expect(given(change)).toContain(finding);
  });
});
