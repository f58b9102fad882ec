/**
 * Whether an error is about the moment and not about the event: the same work may succeed when tried again.
 * Looks through `cause` and the errors of an AggregateError.
 *
 * Transient are lost, refused or timed-out connections, and these SQLSTATEs
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html):
 * 08xxx connection, 40000 40001 40003 40P01 rollbacks by the server, 53xxx resources, 55P03 lock not available,
 * 57014 cancelled or timed out, 57P0x shutdown, 58xxx system, 25006 read-only (a standby after a failover),
 * 25P03 and 25P04 transaction time-outs.
 */
export function isTransient(error: unknown): boolean {
  return isTransientWithin(error, new Set());
}

/** Enough for what drivers and wrappers nest; bounds what is made up while it is read. */
const errorsMax = 100;

/** What cannot be read (a revoked proxy, a getter that throws) says nothing. */
function isTransientWithin(error: unknown, seen: Set<unknown>): boolean {
  if (typeof error !== 'object' || error === null || seen.has(error) || seen.size >= errorsMax) return false;
  seen.add(error);
  try {
    const { code, message, cause, errors } = error as Record<string, unknown>;
    if (isTransientItself({ code, message })) return true;
    const inner = [cause, ...(Array.isArray(errors) ? errors : [])];
    return inner.some((one) => isTransientWithin(one, seen));
  } catch {
    return false;
  }
}

const transientStates = /^(?:08...|53...|58...|4000[013]|40P01|55P03|57014|57P0[0-9]|25006|25P03|25P04)$/;

/** Node's own, of a socket or a name look-up. */
const transientSystemCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** pg gives these errors no code. */
const transientMessages =
  /^(?:Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed and is not queryable)/;

function isTransientItself({ code, message }: { code?: unknown; message?: unknown }): boolean {
  if (typeof code === 'string' && (transientSystemCodes.has(code) || transientStates.test(code))) return true;
  return code === undefined && typeof message === 'string' && transientMessages.test(message);
}
