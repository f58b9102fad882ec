/** Codes of Kafka's protocol that a client's error stands for; errors are nested. */
export function protocolCodes(error: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  for (const one of allErrors(error)) if (typeof one.apiId === 'string') found.add(one.apiId);
  return found;
}

const membershipCodes = [
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'REBALANCE_IN_PROGRESS',
  'FENCED_MEMBER_EPOCH',
  'FENCED_INSTANCE_ID',
];

/** Whether the broker knows this member no longer, or not as one of this generation. */
export function saysMembershipIsOver(error: unknown): boolean {
  const codes = protocolCodes(error);
  return membershipCodes.some((code) => codes.has(code));
}

/** Whether the same request may succeed later: a network that failed, a coordinator that moves, an epoch behind. */
export function mayHeal(error: unknown): boolean {
  if (protocolCodes(error).has('STALE_MEMBER_EPOCH')) return true;
  const all = allErrors(error);
  return all.some((one) => one.canRetry === true) && !all.some((one) => one.canRetry === false);
}

/** Whether the client is closed and answers nothing any more. */
export const saysClientIsClosed = (error: unknown): boolean =>
  allErrors(error).some((one) => one.closed === true);

/** Codes of the client's errors that tell of bytes it cannot decode; all others are of the network or the protocol. */
const decodingCodes = new Set(['PLT_KFK_UNSUPPORTED_COMPRESSION', 'PLT_KFK_OUT_OF_BOUNDS']);

/** Whether it is not the broker nor the network that failed, but the reading of what the broker sent. */
export const isUnreadable = (error: unknown): boolean =>
  allErrors(error).every(({ code, syscall }) => {
    if (syscall !== undefined) return false;
    return typeof code !== 'string' || !code.startsWith('PLT_KFK_') || decodingCodes.has(code);
  });

interface ClientError {
  readonly apiId?: unknown;
  readonly canRetry?: unknown;
  readonly closed?: unknown;
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly errors?: unknown;
}

function allErrors(error: unknown): ClientError[] {
  if (typeof error !== 'object' || error === null) return [];
  const nested = (error as ClientError).errors;
  return [error, ...(Array.isArray(nested) ? nested.flatMap(allErrors) : [])];
}
