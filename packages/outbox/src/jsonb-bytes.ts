/**
 * Bytes of a JSON text as PostgreSQL writes it when it was jsonb: a space behind each colon and comma, and numbers
 * without an exponent, so that `1e300` has 301 digits. Without a regular expression over the whole text, which is slow
 * for large ones, and ends in a RangeError for very large ones.
 */
export function jsonbBytes(text: string): number {
  let bytes = Buffer.byteLength(text);
  for (let from = 0, quote = 0; quote >= 0; from = endOfString(text, quote)) {
    quote = text.indexOf('"', from);
    bytes += addedTo(text.slice(from, quote < 0 ? undefined : quote));
  }
  return bytes;
}

/** Where the string that begins at a quote is over. */
function endOfString(text: string, quote: number): number {
  let end = text.indexOf('"', quote + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end + 1;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

/** @param text between two strings */
function addedTo(text: string): number {
  let added = 0;
  for (let i = 0; i < text.length; i += 1) if (text[i] === ':' || text[i] === ',') added += 1;
  if (!/e[+-]?\d/i.test(text)) return added;
  for (const token of text.split(/[[\]{}:,]/)) added += addedToNumber(token);
  return added;
}

function addedToNumber(token: string): number {
  const found = /^-?(?<whole>\d+)(?:\.(?<fraction>\d+))?e(?<exponent>[+-]?\d+)$/i.exec(token);
  if (found?.groups === undefined) return 0;
  const { whole = '', fraction = '', exponent } = found.groups;
  const digitsBefore = Math.max(1, whole.length + Number(exponent));
  const digitsBehind = Math.max(0, fraction.length - Number(exponent));
  const sign = token.startsWith('-') ? 1 : 0;
  return sign + digitsBefore + (digitsBehind > 0 ? 1 + digitsBehind : 0) - token.length;
}
