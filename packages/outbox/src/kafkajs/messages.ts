import type { Message } from 'kafkajs';
import type { OutboundRecord } from '../publisher.ts';

/** Lengths, attributes and timestamp of a record; some are varints, so this is the most they take. */
const recordOverheadBytes = 40;
const headerOverheadBytes = 10;

/** Records as kafkajs takes them, in order, in parts of at most `bytesMax`; a larger record is a part of its own. */
export function* messagesInParts(
  records: readonly OutboundRecord[],
  bytesMax: number,
): Generator<Message[], void> {
  let part: Message[] = [];
  let bytes = 0;
  for (const record of records) {
    const message = messageOf(record);
    const size = sizeOf(message);
    if (part.length > 0 && bytes + size > bytesMax) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(message);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

interface BytesMessage extends Message {
  key: string;
  value: Buffer;
  headers: Record<string, string>;
}

function messageOf({ key, value, headers }: OutboundRecord): BytesMessage {
  return { key, value: Buffer.from(value as string), headers: { ...headers } };
}

function sizeOf({ key, value, headers }: BytesMessage): number {
  let bytes = recordOverheadBytes + Buffer.byteLength(key) + value.length;
  for (const [name, text] of Object.entries(headers)) {
    bytes += headerOverheadBytes + Buffer.byteLength(name) + Buffer.byteLength(text);
  }
  return bytes;
}
