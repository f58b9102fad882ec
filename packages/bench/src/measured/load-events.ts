import type { BenchRecord } from '../backlog.ts';
import { eventOf, numberHeader } from './events.ts';

/** When an event was due to be produced, milliseconds of the machine's monotonic clock. */
export const dueHeader = 'bench-due';

/** One in fifty events is of this key, which fails where it is told to. */
export const poisonKey = 'poison';
const poisonEvery = 50;

/** An event as a record. @param dueMs when it is to be produced */
export function recordOf(n: number, dueMs: number): BenchRecord {
  const { key, payload, headers } = eventOf(n, '');
  return {
    key: n % poisonEvery === 0 ? poisonKey : key,
    value: JSON.stringify(payload),
    headers: {
      ...(headers as Record<string, string>),
      [numberHeader]: String(n),
      [dueHeader]: String(dueMs),
    },
  };
}

/** SQL of the id that event `n` has. */
export const idSql = `md5('event ' || n)::uuid::text`;
