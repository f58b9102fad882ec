import type { OutboundRecord } from './publisher.ts';

/** What brokers say of records that they will never take, as they are or together. */
const refusals = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
]);

/**
 * Whether an error of a client means that repeating the same records cannot succeed. kafkajs names the broker's answer
 * in `type`, @platformatic/kafka in `apiId`, inside of others.
 */
export function isRefusal(thrown: unknown, depth = 0): boolean {
  if (typeof thrown !== 'object' || thrown === null || depth > depthMax) return false;
  const { type, apiId, errors, cause } = thrown as Record<string, unknown>;
  if (refusals.has(String(type)) || refusals.has(String(apiId))) return true;
  const inner = [...(Array.isArray(errors) ? errors : []), cause];
  return inner.some((one) => isRefusal(one, depth + 1));
}

const depthMax = 5;

const hasBytes = (value: unknown): boolean => typeof value === 'string' || value instanceof Uint8Array;

/** Why a record has no bytes, which rows written by plain SQL may lack. @returns undefined if it has */
export function unserialisable({ key, value, headers }: OutboundRecord): Error | undefined {
  const header = Object.keys(headers).find((name) => typeof headers[name] !== 'string');
  if (header !== undefined) return new Error(`the header ${header} is not a string`);
  return hasBytes(key) && hasBytes(value) ? undefined : new Error('key or value is neither text nor bytes');
}
