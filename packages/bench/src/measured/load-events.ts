import { randomBytes } from 'node:crypto';
import type { BenchRecord } from '../backlog.ts';
import { eventOf, numberHeader } from './events.ts';

/** When an event was due to be produced, milliseconds of the machine's monotonic clock. */
export const dueHeader = 'bench-due';

/** Its events fail where they are told to. */
export const poisonKey = 'poison';

/** Which events are of the poison key. */
export interface Poison {
  /** One in so many. */
  readonly every: number;
  /** Characters of their values, of which nobody knows the next; else they are like the others. */
  readonly valueLength?: number;
}

export const smallPoison: Poison = { every: 50 };

/** An event as a record. @param dueMs when it is to be produced */
export function recordOf(n: number, dueMs: number, { every, valueLength }: Poison): BenchRecord {
  const { key, payload, headers } = eventOf(n, '');
  const isPoison = n % every === 0;
  return {
    key: isPoison ? poisonKey : key,
    value: isPoison && valueLength !== undefined ? randomText(valueLength) : JSON.stringify(payload),
    headers: {
      ...(headers as Record<string, string>),
      [numberHeader]: String(n),
      [dueHeader]: String(dueMs),
    },
  };
}

const randomText = (length: number): string => randomBytes(length).toString('base64').slice(0, length);

/** SQL of the id that event `n` has. */
export const idSql = `md5('event ' || n)::uuid::text`;
