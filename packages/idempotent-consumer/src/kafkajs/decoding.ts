import { AsyncLocalStorage } from 'node:async_hooks';

/** What becomes of the batches of one answer of a broker while kafkajs decodes them. */
export interface Decoding {
  /** How many bytes compressed batches may become, together. */
  readonly bytesMax: number;
  bytesLeft: number;
  /** A batch was left for the next time, because others have used up the bytes. */
  postponed: boolean;
  /** The first batch that cannot be read. */
  unreadable?: Unreadable | undefined;
}

/** A batch that cannot be read, and why. */
export interface Unreadable {
  readonly error: unknown;
  /** Offsets of its first and last record, where its header could be made out. */
  readonly range?: { readonly first: string; readonly last: string } | undefined;
}

/** Tells the codecs, which kafkajs calls with nothing but bytes, for which of our answers that is. */
export const decodings = new AsyncLocalStorage<Decoding>();

/** Begins an answer that may become `bytesMax`. */
export const newDecoding = (bytesMax: number): Decoding => ({
  bytesMax,
  bytesLeft: bytesMax,
  postponed: false,
});

/** A codec's word for a batch that would become larger than it may. */
export class TooLarge extends Error {
  constructor(bytesMax: number) {
    super(`the batch is larger than ${bytesMax} bytes when decompressed`);
    this.name = 'TooLarge';
  }
}

/** Decompresses; throws {@link TooLarge} rather than make more than `bytesMax`. */
export type Decompress = (compressed: Buffer, bytesMax: number) => Buffer | Promise<Buffer>;

/**
 * Decompresses a batch of an answer of ours within its bounds. kafkajs gives up the answer of a broker, with all its
 * partitions, when a codec throws; told that a batch is incomplete it returns what comes before it, and the others.
 */
export async function decompressBounded(compressed: Buffer, decompress: Decompress): Promise<Buffer> {
  const decoding = decodings.getStore();
  if (decoding === undefined) return decompress(compressed, unbounded);
  try {
    if (decoding.bytesLeft < 1) throw new TooLarge(0);
    const batch = await decompress(compressed, decoding.bytesLeft);
    decoding.bytesLeft -= batch.byteLength;
    return batch;
  } catch (error) {
    if (error instanceof TooLarge && decoding.bytesLeft < decoding.bytesMax) decoding.postponed = true;
    else decoding.unreadable ??= { error, range: rangeOf(compressed) };
    throw Object.assign(new Error('the batch is left out'), { name: 'KafkaJSPartialMessageError' });
  }
}

const unbounded = 2 ** 31 - 1;

/** Bytes of a batch before its records: https://kafka.apache.org/documentation/#recordbatch */
const headerBytes = 61;
const at = { length: 8, magic: 16, lastOffsetDelta: 23 };

/** The offsets of the batch whose records these are: its header stands before them, in the memory of the answer. */
function rangeOf(records: Buffer): Unreadable['range'] {
  const from = records.byteOffset - headerBytes;
  if (from < 0) return undefined;
  const header = Buffer.from(records.buffer, from, headerBytes);
  const isHeader =
    header.readInt8(at.magic) === 2 &&
    header.readInt32BE(at.length) === headerBytes - at.length - 4 + records.byteLength;
  if (!isHeader) return undefined;
  const first = header.readBigInt64BE(0);
  return { first: String(first), last: String(first + BigInt(header.readInt32BE(at.lastOffsetDelta))) };
}
