import { AsyncLocalStorage } from 'node:async_hooks';
import zlib from 'node:zlib';
import { lz4BytesMax, snappyBlocks } from '../kafkajs/frames.ts';

/** The part of the client's `compressionsAlgorithms` that is used. */
export type CompressionAlgorithms = Readonly<
  // biome-ignore lint/suspicious/noExplicitAny: a Buffer, or the client's own list of buffers
  Record<string, { decompressSync(compressed: any): Buffer }>
>;

/** How many bytes the compressed batches of one answer of a broker may become, together. */
export interface DecompressionBudget {
  /** Opens a connection: what it receives is decompressed within the budget. */
  connect<R>(open: () => R): R;
  /** The next answer has a budget of its own. */
  renew(): void;
}

/** Compressed batches would become more than is left. */
export class TooLargeError extends Error {
  /** Whether there was less left than there can be, since other records are held. */
  readonly isForNow: boolean;

  constructor(bytesMax: number, isForNow: boolean) {
    super(`compressed batches become more than ${bytesMax} bytes, see decompressedBytesMax`);
    this.name = 'TooLargeError';
    this.isForNow = isForNow;
  }
}

interface Remainder {
  readonly bytesMax: number;
  readonly bytesLeft: number;
  readonly isForNow: boolean;
  spend(bytes: number): void;
}

/** The client decompresses where its connection receives, and there is told nothing but bytes. */
const remainders = new AsyncLocalStorage<Remainder>();
const boundedAlready = new WeakSet<object>();

/**
 * Bounds what is decompressed for the sources of this package. The list is the client's own, shared by the process;
 * for others nothing changes.
 */
export function boundDecompression(algorithms: CompressionAlgorithms): void {
  for (const [name, algorithm] of Object.entries(algorithms)) {
    const bounded = boundedDecompress[name];
    if (bounded === undefined || boundedAlready.has(algorithm)) continue;
    boundedAlready.add(algorithm);
    const original = algorithm.decompressSync;
    algorithm.decompressSync = (compressed: Buffer | { buffer: Buffer }) => {
      const remainder = remainders.getStore();
      if (remainder === undefined) return original(compressed);
      const bytes = Buffer.isBuffer(compressed) ? compressed : compressed.buffer;
      const batch = bounded(bytes, remainder.bytesLeft, original);
      if (batch === tooLarge) throw new TooLargeError(remainder.bytesMax, remainder.isForNow);
      remainder.spend(batch.byteLength);
      return batch;
    };
  }
}

/** What records that are held leave of it, and a quarter in any case: they may be held for long. */
export function createDecompressionBudget(bytesMax: number, heldBytes: () => number): DecompressionBudget {
  let spent = 0;
  let available: number | undefined; // of the answer that is read now
  const remainder: Remainder = {
    bytesMax,
    get bytesLeft() {
      available ??= Math.max(Math.floor(bytesMax / 4), bytesMax - heldBytes());
      return available - spent;
    },
    get isForNow() {
      return available !== undefined && available < bytesMax;
    },
    spend(bytes) {
      spent += bytes;
    },
  };
  return {
    connect: (open) => remainders.run(remainder, open),
    renew() {
      spent = 0;
      available = undefined;
    },
  };
}

type Decompress = (compressed: Buffer) => Buffer;

const tooLarge = Symbol('too large');

type Bounded = (compressed: Buffer, bytesMax: number, original: Decompress) => Buffer | typeof tooLarge;

const boundedDecompress: Record<string, Bounded> = {
  gzip: (compressed, bytesMax) => inflated(zlib.unzipSync, compressed, bytesMax),
  zstd: (compressed, bytesMax) => inflated(zlib.zstdDecompressSync, compressed, bytesMax),
  lz4: (compressed, bytesMax, original) =>
    lz4BytesMax(compressed) > bytesMax ? tooLarge : original(compressed),
  snappy(compressed, bytesMax, original) {
    let bytes = 0;
    for (const block of snappyBlocks(compressed)) bytes += block.bytes;
    return bytes > bytesMax ? tooLarge : original(compressed);
  },
};

function inflated(
  inflate: (compressed: Buffer, options: { maxOutputLength: number }) => Buffer,
  compressed: Buffer,
  maxOutputLength: number,
): Buffer | typeof tooLarge {
  if (maxOutputLength < 1) return tooLarge;
  try {
    return inflate(compressed, { maxOutputLength });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return tooLarge;
    throw error;
  }
}
