/** SQLSTATE classes and codes that say: not now. Connections, resources, operator intervention, time-outs, locks. */
const sqlStates = /^(08...|53...|57...|58...|25P03|40001|40P01|55P03)$/;
const networkCodes =
  /^(ECONN.*|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|DB_COMMIT_UNKNOWN)$/;
/** What pg and its pool say without a code. */
const driverMessages =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client (has encountered|was closed)|Cannot use a pool/;

/** An error has this many causes at most that are worth a look. */
const causesMax = 5;

/** Whether an error means that PostgreSQL could not be reached or did not answer in time, not that we are wrong. */
export function isDatabaseUnavailable(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < causesMax && current instanceof Error; depth++) {
    const code = (current as { code?: unknown }).code;
    if (typeof code === 'string' && (sqlStates.test(code) || networkCodes.test(code))) return true;
    if (driverMessages.test(current.message)) return true;
    if (current instanceof AggregateError && current.errors.some(isDatabaseUnavailable)) return true;
    current = current.cause;
  }
  return false;
}
