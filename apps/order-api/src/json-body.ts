import { ApiError } from './errors.ts';
import { repeatedMember } from './repeated-member.ts';
import { invalidRequest } from './validation.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A number with a fraction or an exponent, outside of text or in it: then it is worth a closer look. */
const maybeInexact = /[:[,]\s*-?\d+[.eE]/;

/**
 * The JSON value of a body. Bytes that are not UTF-8 are refused rather than replaced, and so is a name that an
 * object has twice. A number that is no integer becomes NaN when JavaScript would round it to one
 * (`9007199254740991.4`, `1.00000000000000001`), so that the validation refuses it; `1.0` and `1e2` are integers.
 * @throws ApiError `malformed_json`, `invalid_request`
 */
export function parseJsonBody(bytes: Uint8Array): unknown {
  const text = textOf(bytes);
  const value = parsed(text);
  const field = repeatedMember(text);
  if (field !== undefined) throw invalidRequest('body', [{ field, message: 'is given more than once' }]);
  return value;
}

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ApiError('malformed_json', { detail: 'its text is not UTF-8', cause });
  }
}

function parsed(text: string): unknown {
  try {
    return maybeInexact.test(text) ? JSON.parse(text, withoutRounding) : JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the body, which may hold a payment method: it is not passed on.
    throw new ApiError('malformed_json', { cause: new Error((error as Error).name) });
  }
}

/** `context.source` is the number as it was written (JSON.parse source text access). */
function withoutRounding(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined) return value;
  return Number.isSafeInteger(value) && !denotesInteger(context.source) ? Number.NaN : value;
}

/** Whether a JSON number literal stands for an integer, decided on its digits. */
export function denotesInteger(literal: string): boolean {
  const [, whole = '', fraction = '', exponent = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? [];
  const digits = whole + fraction;
  let last = digits.length - 1;
  while (last >= 0 && digits[last] === '0') last--;
  const trailingZeros = digits.length - 1 - last;
  return last < 0 || Number(exponent) - fraction.length + trailingZeros >= 0;
}
