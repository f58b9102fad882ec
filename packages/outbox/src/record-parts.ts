import type { OutboundRecord } from './publisher.ts';

/** Lengths, attributes and timestamp of a record; some are varints, so this is the most they take. */
const recordOverheadBytes = 40;
const headerOverheadBytes = 10;

/** Records in order, in parts of at most `bytesMax`; a larger record is a part of its own. */
export function* recordsInParts(
  records: readonly OutboundRecord[],
  bytesMax: number,
): Generator<OutboundRecord[], void> {
  let part: OutboundRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = sizeOf(record);
    if (part.length > 0 && bytes + size > bytesMax) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

function sizeOf({ key, value, headers }: OutboundRecord): number {
  let bytes = recordOverheadBytes + Buffer.byteLength(key) + Buffer.byteLength(value);
  for (const name in headers) {
    bytes += headerOverheadBytes + Buffer.byteLength(name) + Buffer.byteLength(headers[name] as string);
  }
  return bytes;
}
