import { inspect } from 'node:util';

/** Characters of a reason that are kept. */
export const reasonLengthMax = 4000;

/**
 * Anything that was thrown, as a sentence that PostgreSQL can hold: an error's name, message and code, else what
 * `inspect` makes of it. Never throws, whatever getters or proxies the value has.
 */
export function reasonOf(thrown: unknown): string {
  return storableText(described(thrown).slice(0, reasonLengthMax));
}

function described(thrown: unknown): string {
  try {
    if (typeof thrown === 'string' && thrown !== '') return thrown;
    if (!(thrown instanceof Error)) return `thrown: ${inspect(thrown, { depth: 1 })}`;
    const { code } = thrown as { code?: unknown };
    return typeof code === 'string' ? `${thrown} (${code})` : `${thrown}`;
  } catch {
    return `a thrown ${typeof thrown} that cannot be shown`;
  }
}

/** Of what kind something is that was thrown, for logs: nothing that it says itself. */
export function kindOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return typeof thrown;
    const { name } = thrown.constructor;
    return typeof name === 'string' && name !== '' ? storableText(name) : 'Error';
  } catch {
    return typeof thrown;
  }
}

/** Anything that was thrown, as an Error; what is none, or cannot be read, is put into words. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) {
      for (const name of ['name', 'message', 'stack', 'code', 'cause', 'errors']) Reflect.get(thrown, name);
      return thrown;
    }
  } catch {
    // A getter that throws, or a proxy that was revoked.
  }
  return new Error(reasonOf(thrown));
}

/** `instanceof` that answers for a revoked proxy too. */
export function isA<T>(value: unknown, kind: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof kind;
  } catch {
    return false;
  }
}

/** Text as PostgreSQL can hold it: U+0000 is written as `\0`, a lone surrogate becomes U+FFFD. */
export function storableText(text: string): string {
  return text.replaceAll('\u0000', '\\0').toWellFormed();
}
