import type { KafkaMessage } from 'kafkajs';
import { isHeadersByName, isHeaderValue, noHeaders } from '../headers-by-name.ts';
import type { ConsumedRecord, RecordHeaders } from '../record.ts';

/** A message of kafkajs as a record. */
export function recordOf(topic: string, partition: number, message: KafkaMessage): ConsumedRecord {
  return {
    topic,
    partition,
    offset: message.offset,
    key: message.key ?? null,
    value: message.value ?? null,
    headers: headersOf(message.headers),
    timestampMs: timestampOf(message.timestamp),
  };
}

function timestampOf(timestamp: string | undefined): number | null {
  const ms = Number(timestamp);
  return timestamp === undefined || !Number.isSafeInteger(ms) || ms < 0 ? null : ms;
}

/**
 * Own properties only, and nothing inherited, so that no name means anything. kafkajs gathers headers in an ordinary object:
 * where a name is that of an inherited property, such as `toString`, what it inherits stands among the values.
 */
function headersOf(headers: object | undefined): RecordHeaders {
  if (headers !== undefined && isHeadersByName(headers)) return headers;
  const own = noHeaders();
  for (const [name, found] of Object.entries(headers ?? {})) {
    if (!Array.isArray(found)) {
      if (isHeaderValue(found)) own[name] = found;
      continue;
    }
    const values = found.filter(isHeaderValue);
    const [only] = values;
    if (only !== undefined) own[name] = values.length === 1 && found.length === 2 ? only : values;
  }
  return own;
}
