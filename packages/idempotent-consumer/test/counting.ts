import type { Message } from 'kafkajs';
import type { Transaction } from 'kysely';
import type { Decoded } from '../src/index.ts';

// biome-ignore lint/suspicious/noExplicitAny: the tests write SQL, not Kysely queries
export type Tx = Transaction<any>;

/** What the tests' records hold: count `name` up by one. */
export interface CountEvent {
  readonly id: string;
  readonly name: string;
}

/** Counts one up, without any protection against doing it again. */
export async function countUp(tx: Tx, { name }: CountEvent): Promise<void> {
  await tx
    .insertInto('counters')
    .values({ name, n: 1 })
    .onConflict((conflict) => conflict.column('name').doUpdateSet((eb) => ({ n: eb('counters.n', '+', 1) })))
    .execute();
}

export const countAll = async (tx: Tx, events: readonly CountEvent[]): Promise<void> => {
  for (const event of events) await countUp(tx, event);
};

/** The records' decoder: header `type` is `count`, header `id` the event's id, the value its name. */
export function decodeCount(record: {
  headers: Readonly<Record<string, unknown>>;
  value: Uint8Array | null;
}): Decoded<CountEvent> {
  const type = record.headers.type?.toString();
  const id = record.headers.id?.toString();
  if (type === undefined) return { kind: 'invalid', reason: 'header type is missing', eventId: id };
  if (type !== 'count') return { kind: 'skip' };
  if (id === undefined) return { kind: 'invalid', reason: 'header id is missing' };
  return { kind: 'event', id, event: { id, name: Buffer.from(record.value ?? []).toString() } };
}

export const countRecord = (id: string, name: string): Message => ({
  key: name,
  value: name,
  headers: { type: 'count', id },
});
