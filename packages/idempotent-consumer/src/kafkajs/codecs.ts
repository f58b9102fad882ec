import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import kafkajs from 'kafkajs';
import { type Decompress, decompressBounded, TooLarge } from './decoding.ts';
import { lz4BytesMax, snappyBlocks } from './frames.ts';

interface KafkajsCodec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(buffer: Buffer): Promise<Buffer>;
}

const zstd: Decompress = (compressed, bytesMax) => inflate('zstdDecompress', compressed, bytesMax);
const gzip: Decompress = (compressed, bytesMax) => inflate('unzip', compressed, bytesMax);

const lz4: Decompress = async (compressed, bytesMax) => {
  if (lz4BytesMax(compressed) > bytesMax) throw new TooLarge(bytesMax);
  const { lz4Decompress } = await import('@platformatic/wasm-utils');
  return decoded('lz4', () => lz4Decompress(compressed));
};

const snappy: Decompress = async (compressed, bytesMax) => {
  const blocks = [...snappyBlocks(compressed)];
  if (blocks.reduce((sum, { bytes }) => sum + bytes, 0) > bytesMax) throw new TooLarge(bytesMax);
  const { snappyDecompress } = await import('@platformatic/wasm-utils');
  return decoded('snappy', () => Buffer.concat(blocks.map(({ block }) => snappyDecompress(block))));
};

async function inflate(
  method: 'unzip' | 'zstdDecompress',
  compressed: Buffer,
  maxOutputLength: number,
): Promise<Buffer> {
  const options = { maxOutputLength };
  try {
    return method === 'unzip'
      ? await promisify<Buffer, object, Buffer>(zlib.unzip)(compressed, options)
      : await promisify<Buffer, object, Buffer>(zlib.zstdDecompress)(compressed, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new TooLarge(maxOutputLength);
    throw error;
  }
}

/** The WebAssembly module only says `unreachable`. */
function decoded(name: string, decompress: () => Buffer): Buffer {
  try {
    return decompress();
  } catch (error) {
    throw new Error(`the batch is not valid ${name}`, { cause: error });
  }
}

/**
 * Puts codecs into kafkajs's list, which the whole process shares: those it has not, and, in place of kafkajs's own
 * gzip, one that does the same within bounds. What somebody else has put there stays.
 */
export function registerCodecs(): void {
  const { CompressionCodecs: codecs, CompressionTypes: types } = kafkajs;
  const own = gzipOfKafkajs();
  if (own !== undefined && isThis(codecs[types.GZIP], own)) {
    register(types.GZIP, { compress: own.compress, decompress: bounded(gzip) });
  }
  if (isMissing(codecs[types.Snappy])) {
    register(types.Snappy, { compress: compressing('snappyCompress'), decompress: bounded(snappy) });
  }
  if (isMissing(codecs[types.LZ4])) {
    register(types.LZ4, { compress: compressing('lz4Compress'), decompress: bounded(lz4) });
  }
  // Node has it since 22.15.
  if (isMissing(codecs[types.ZSTD]) && typeof zlib.zstdDecompress === 'function') {
    const compress = promisify<Buffer, Buffer>(zlib.zstdCompress);
    register(types.ZSTD, { compress: ({ buffer }) => compress(buffer), decompress: bounded(zstd) });
  }
}

const register = (type: number, codec: KafkajsCodec) => {
  (kafkajs.CompressionCodecs as Record<number, () => KafkajsCodec>)[type] = () => codec;
};

const bounded = (decompress: Decompress) => (compressed: Buffer) => decompressBounded(compressed, decompress);

const compressing =
  (method: 'snappyCompress' | 'lz4Compress') =>
  async ({ buffer }: { buffer: Buffer }) =>
    (await import('@platformatic/wasm-utils'))[method](buffer);

/** kafkajs stands for what it has not by a function that throws. */
function isMissing(codec: unknown): boolean {
  try {
    return typeof codec !== 'function' || codec() === undefined;
  } catch (error) {
    return (error as Error).name === 'KafkaJSNotImplemented';
  }
}

function isThis(codec: unknown, own: unknown): boolean {
  try {
    return typeof codec === 'function' && codec() === own;
  } catch {
    return false;
  }
}

/** Undefined where kafkajs is built otherwise. */
function gzipOfKafkajs(): KafkajsCodec | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/protocol/message/compression/gzip');
  } catch {
    return undefined;
  }
}
