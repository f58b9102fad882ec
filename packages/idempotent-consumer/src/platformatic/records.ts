import { addHeader, noHeaders } from '../headers-by-name.ts';
import type { ConsumedRecord } from '../record.ts';
import type { ClientRecord, FetchedPartition, RecordsBatch } from './client.ts';

/** What a fetch brought of one partition. */
export interface FetchedRecords {
  readonly records: readonly ConsumedRecord[];
  /** Where the next fetch begins: behind control records too. Undefined when nothing was brought. */
  readonly nextOffset: bigint | undefined;
}

const isLogAppendTime = 1 << 3;
const isTransactional = 1 << 4;
const isControl = 1 << 5;
const abortMarker = 0;

/**
 * The records of a fetched partition from `fetchOffset` on. Batches are sent whole, so they may begin before it.
 *
 * Records of aborted transactions are left out here. The client does so only where the transaction's end came with the
 * same response, and only for the last one of each producer.
 */
export function recordsOf(fetched: FetchedPartition, topic: string, fetchOffset: bigint): FetchedRecords {
  const records: ConsumedRecord[] = [];
  const batches = fetched.records ?? [];
  const isAborted = abortedBatches(fetched.abortedTransactions ?? []);
  for (const batch of batches) {
    if (isAborted(batch) || batch.attributes & isControl) continue;
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta);
      if (offset < fetchOffset) continue;
      records.push(recordOf(record, { topic, partition: fetched.partitionIndex, offset, batch }));
    }
  }
  const last = batches.at(-1);
  const end = last === undefined ? undefined : last.firstOffset + BigInt(last.lastOffsetDelta) + 1n;
  return { records, nextOffset: end };
}

/** Tells, of batches in the order of their offsets, which belong to a transaction that was aborted. */
function abortedBatches(transactions: FetchedPartition['abortedTransactions'] & object) {
  const ahead = [...transactions].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const open = new Set<bigint>();
  return (batch: RecordsBatch): boolean => {
    const lastOffset = batch.firstOffset + BigInt(batch.lastOffsetDelta);
    while (ahead[0] !== undefined && ahead[0].firstOffset <= lastOffset) {
      open.add((ahead.shift() as { producerId: bigint }).producerId);
    }
    if (batch.attributes & isControl) {
      if (batch.records[0]?.key?.readInt16BE(2) === abortMarker) open.delete(batch.producerId);
      return false;
    }
    return Boolean(batch.attributes & isTransactional) && open.has(batch.producerId);
  };
}

function recordOf(
  { key, value, headers, timestampDelta }: ClientRecord,
  place: { topic: string; partition: number; offset: bigint; batch: RecordsBatch },
): ConsumedRecord {
  const { topic, partition, offset, batch } = place;
  const timestamp =
    batch.attributes & isLogAppendTime ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta;
  return {
    topic,
    partition,
    offset: String(offset),
    key,
    value,
    headers: headersOf(headers),
    timestampMs: timestampOf(timestamp),
  };
}

/** A producer may give any 64 bits, where the topic allows it; what is no time is none. */
const timestampOf = (timestamp: bigint): number | null =>
  timestamp < 0n || timestamp > Number.MAX_SAFE_INTEGER ? null : Number(timestamp);

/** By name, in the order in which they came; a name that repeats has a list. */
function headersOf(headers: ClientRecord['headers']): ConsumedRecord['headers'] {
  const named = noHeaders();
  for (const [name, value] of headers) addHeader(named, name?.toString() ?? '', value);
  return named;
}
