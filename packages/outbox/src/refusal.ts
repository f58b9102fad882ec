/** What brokers say of records that they will never take, as they are or together. */
const refusals = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TIMESTAMP']);

/**
 * Whether an error of a client means that repeating the same records cannot succeed. kafkajs names the broker's answer
 * in `type`, @platformatic/kafka in `apiId`, inside of others. A record that has no bytes is a TypeError with
 * `ERR_INVALID_ARG_TYPE`.
 */
export function isRefusal(thrown: unknown, depth = 0): boolean {
  if (typeof thrown !== 'object' || thrown === null || depth > depthMax) return false;
  const { type, apiId, code, errors, cause } = thrown as Record<string, unknown>;
  if (refusals.has(String(type)) || refusals.has(String(apiId)) || code === 'ERR_INVALID_ARG_TYPE') return true;
  const inner = [...(Array.isArray(errors) ? errors : []), cause];
  return inner.some((one) => isRefusal(one, depth + 1));
}

const depthMax = 5;
