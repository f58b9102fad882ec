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
    if (!(thrown instanceof Error))
      return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1 });
    const { code } = thrown as { code?: unknown };
    return typeof code === 'string' ? `${thrown} (${code})` : `${thrown}`;
  } catch {
    return `a thrown ${typeof thrown} that cannot be shown`;
  }
}

/** Anything that was thrown, as an Error for a log; the thrown value is its cause. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(reasonOf(thrown), { cause: thrown });
}

/** Text as PostgreSQL can hold it: U+0000 is written as `\0`, a lone surrogate becomes U+FFFD. */
export function storableText(text: string): string {
  return text.replaceAll('\u0000', '\\0').toWellFormed();
}
