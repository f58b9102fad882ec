import { checkHistory } from '@orders/outbox/testing';
import type { Answer } from './order-load.ts';
import type { RunRecords } from './records-of-a-run.ts';

/**
 * Holds what clients were told against what the run left behind, and says in words what does not fit: nothing refused,
 * lost, doubled or out of order. Empty when all is well.
 */
export function findings(answers: readonly Answer[], records: RunRecords): string[] {
  return [
    ...ofAnswers(answers),
    ...ofOrders(answers, records),
    ...ofEvents(records),
    ...ofMoney(records),
    ...(records.deadLetters === 0 ? [] : [`${records.deadLetters} dead letters`]),
  ];
}

function ofAnswers(answers: readonly Answer[]): string[] {
  const found: string[] = [];
  const firsts = new Map<string, string>();
  for (const { key, status, text } of answers) {
    if (status !== 201) found.push(`${key} was not answered 201 but ${status}: ${text}`);
    else if ((firsts.get(key) ?? text) !== text)
      found.push(`${key} was answered ${text}, after ${firsts.get(key)}`);
    else firsts.set(key, text);
  }
  return found;
}

function ofOrders(answers: readonly Answer[], { orders }: RunRecords): string[] {
  const found: string[] = [];
  const accepted = new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text));
  for (const { id, state } of orders) {
    if (!accepted.delete(id)) found.push(`order ${id} stands, and nobody was told`);
    if (state !== 'PAID' && state !== 'FAILED') found.push(`order ${id} is ${state}`);
  }
  for (const id of accepted) found.push(`order ${id} was accepted and is lost`);
  return found;
}

function ofEvents({ orders, orderEvents, outbox, topic, inbox }: RunRecords): string[] {
  const found: string[] = [];
  const written = new Map<string, string[]>(orders.map(({ id }) => [id, []]));
  for (const { orderId, version, eventId } of orderEvents) {
    const chain = written.get(orderId) ?? [];
    written.set(orderId, chain);
    chain.push(eventId);
    if (version !== chain.length)
      found.push(`order ${orderId}: event ${version} stands where ${chain.length} is due`);
  }
  for (const { id, version } of orders)
    if (written.get(id)?.length !== version)
      found.push(`order ${id} has version ${version} and ${written.get(id)?.length} events`);

  const differences = (what: string, ids: readonly string[], expected: readonly string[]) => {
    const left = new Set(expected);
    for (const id of ids) if (!left.delete(id)) found.push(`${what}: ${id} is one too many`);
    for (const id of left) found.push(`${what}: ${id} is missing`);
  };
  const eventIds = (of: readonly { eventId: string }[]) => of.map(({ eventId }) => eventId);
  differences('outbox', eventIds(outbox), eventIds(orderEvents));
  differences('inbox', inbox, eventIds(orderEvents.filter(({ version }) => version === 1)));
  for (const { eventId, published } of outbox)
    if (!published) found.push(`outbox: ${eventId} is not published`);

  const { lost, inverted, unexpected, examples } = checkHistory({ written, read: topic });
  if (lost + inverted + unexpected > 0)
    found.push(`topic: ${lost} lost, ${inverted} inverted, ${unexpected} unexpected; ${examples.join('; ')}`);
  return found;
}

function ofMoney({ orders, ledger }: RunRecords): string[] {
  const found: string[] = [];
  const captures = new Map<string, number>();
  for (const { reference, outcome } of ledger)
    if (outcome === 'captured') captures.set(reference, (captures.get(reference) ?? 0) + 1);
  for (const { id, state } of orders) {
    const captured = captures.get(id) ?? 0;
    captures.delete(id);
    if (captured !== (state === 'PAID' ? 1 : 0))
      found.push(`order ${id} is ${state} and was captured ${captured} times`);
  }
  for (const id of captures.keys()) found.push(`${id} was captured and is no order`);
  return found;
}
