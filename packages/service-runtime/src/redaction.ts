/** Names of fields whose values are never logged, whatever their case and separators. */
const secretNames = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'apikey',
  'xapikey',
  'password',
  'secret',
  'token',
  'databaseurl',
  'connectionstring',
  'paymentmethod',
]);

/** The same names as paths of pino's, in the styles in which we write them. */
export const secretPaths = [
  'authorization',
  'cookie',
  'apiKey',
  'api_key',
  'password',
  'secret',
  'token',
  'databaseUrl',
  'DATABASE_URL',
  'connectionString',
  'paymentMethod',
  'payment_method',
];

/** What stands in the place of a secret. */
export const redacted = '[redacted]';

/** Objects nested deeper than this are not logged. */
const depthMax = 8;

/** So many of the errors inside an AggregateError are logged. */
const innerMax = 5;

/**
 * A copy of what is to be logged: secret fields of plain objects replaced at any depth, credentials taken out of URLs, errors reduced
 * to type, code, message, stack, cause and the errors inside (drivers attach rows, URLs and whole requests to theirs).
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return withoutCredentials(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > depthMax) return '[too deep]';
  if (value instanceof Error) return describeError(value, depth);
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (!isPlain(value)) return value; // a Date, or a request that a serializer is still to shorten
  const copy: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value))
    copy[name] = isSecret(name) ? redacted : redact(field, depth + 1);
  return copy;
}

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const isSecret = (name: string): boolean => secretNames.has(name.toLowerCase().replaceAll(/[-_]/g, ''));

/** `postgres://user:password@host` without the password, up to the last `@`: a password may contain one. */
const withoutCredentials = (text: string): string =>
  text.includes('://') ? text.replaceAll(/(:\/\/[^\s:/@]*):\S+@/g, `$1:${redacted}@`) : text;

function describeError(error: Error & { code?: unknown }, depth: number): Record<string, unknown> {
  return {
    type: error.name,
    ...(error.code === undefined ? {} : { code: error.code }),
    message: withoutCredentials(error.message),
    ...(error.stack === undefined ? {} : { stack: withoutCredentials(error.stack) }),
    ...(error instanceof AggregateError
      ? { errors: redact(error.errors.slice(0, innerMax), depth + 1) }
      : {}),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}
