import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import kafkajs from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { type Decoding, decodings, newDecoding } from '../src/kafkajs/decoding.ts';
import { lz4BytesMax, snappyBlocks } from '../src/kafkajs/frames.ts';
import { kafkajsSource } from '../src/kafkajs.ts';

const require = createRequire(import.meta.url);
const prototypes = {
  queue: require('kafkajs/src/network/requestQueue').prototype,
  decoder: require('kafkajs/src/protocol/decoder').prototype,
};
const { CompressionCodecs, CompressionTypes } = kafkajs;
const codecs = CompressionCodecs as unknown as Record<number, () => Codec>;
interface Codec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(buffer: Buffer): Promise<Buffer>;
}
const codec = (name: keyof typeof CompressionTypes) => (codecs[CompressionTypes[name]] as () => Codec)();
const state = () => [
  prototypes.queue.scheduleCheckPendingRequests,
  prototypes.decoder.readVarIntArray,
  ...Object.values(codecs),
];
const make = (options = {}) =>
  kafkajsSource({ kafka: {} as never }, { groupId: 'g', topics: ['t'], ...options });

/** In an answer that may become `bytesMax`. */
async function decompress(name: keyof typeof CompressionTypes, data: Buffer, bytesMax: number) {
  const decoding: Decoding = newDecoding(bytesMax);
  const result = await decodings
    .run(decoding, () => codec(name).decompress(data))
    .catch((error: Error) => error.name);
  return { result, decoding };
}

describe('what a kafkajs source changes in the process', () => {
  it('is nothing when told so', () => {
    const before = state();
    make({ patchIdleTimer: false, patchHeaderDecoder: false, registerCodecs: false });
    expect(state()).toEqual(before);
  });

  it('are never codecs that somebody else has put there', () => {
    const before = { ...codecs };
    const others = () => ({ compress: async () => Buffer.of(), decompress: async () => Buffer.of() });
    codecs[CompressionTypes.LZ4] = others;
    codecs[CompressionTypes.GZIP] = others;
    make();
    expect(codecs[CompressionTypes.LZ4]).toBe(others);
    expect(codecs[CompressionTypes.GZIP]).toBe(others);
    expect(codecs[CompressionTypes.Snappy]).not.toBe(before[CompressionTypes.Snappy]);
    Object.assign(codecs, before);
    make();
    expect(state().every((one, i) => one !== [undefined, undefined, ...Object.values(before)][i])).toBe(true);
  });

  it('are the idle timers and the header decoder, once', () => {
    make();
    const [, decoder] = state();
    make();
    expect(state()[1]).toBe(decoder);
  });
});

describe.each(['GZIP', 'Snappy', 'LZ4', 'ZSTD'] as const)('the codec for %s', (name) => {
  const data = Buffer.alloc(1_000_000, 'abc ');

  it('gives back what was compressed, bounded or not', async () => {
    make();
    const compressed = await codec(name).compress({ buffer: data });
    expect((await codec(name).decompress(compressed)).equals(data)).toBe(true);
    const { result, decoding } = await decompress(name, compressed, 10_000_000);
    expect(data.equals(result as Buffer)).toBe(true);
    expect(decoding).toMatchObject({ bytesLeft: 9_000_000, postponed: false });
  });

  it('makes no more of it than it may', async () => {
    make();
    const compressed = await codec(name).compress({ buffer: data });
    const { result, decoding } = await decompress(name, compressed, 900_000);
    expect(result).toBe('KafkaJSPartialMessageError');
    expect(decoding.unreadable?.error).toMatchObject({ name: 'TooLarge' });
  });

  it('says what is wrong with damaged data', async () => {
    make();
    const { result, decoding } = await decompress(name, Buffer.from('\x05this is nothing'), 10_000_000);
    expect(result).toBe('KafkaJSPartialMessageError');
    expect(decoding.unreadable?.error).toMatchObject({ message: expect.stringMatching(/./) });
    expect(decoding.unreadable?.range).toBeUndefined();
  });
});

describe('sizes told without decompressing', () => {
  it('of snappy with the framing of the Java client', async () => {
    make();
    const blocks = [Buffer.alloc(70_000, 'a'), Buffer.alloc(300, 'b')];
    const framed: Buffer[] = [Buffer.from('82534e415050590000000001000000010', 'hex').subarray(0, 16)];
    for (const buffer of blocks) {
      const block = await codec('Snappy').compress({ buffer });
      const length = Buffer.alloc(4);
      length.writeUInt32BE(block.length);
      framed.push(length, block);
    }
    const data = Buffer.concat(framed);
    expect([...snappyBlocks(data)].map(({ bytes }) => bytes)).toEqual([70_000, 300]);
    expect((await codec('Snappy').decompress(data)).equals(Buffer.concat(blocks))).toBe(true);
    expect(() => [...snappyBlocks(data.subarray(0, -1))]).toThrow('incomplete');
  });

  it('of LZ4: never less than it becomes, and at most a block more', async () => {
    make();
    for (const size of [0, 1, 100, 65_536, 1_000_000, 9_000_000]) {
      const data = Buffer.alloc(size, 'x');
      const bound = lz4BytesMax(await codec('LZ4').compress({ buffer: data }));
      expect(bound).toBeGreaterThanOrEqual(size);
      expect(bound).toBeLessThanOrEqual(size + 4 * 1024 * 1024);
    }
    expect(() => lz4BytesMax(Buffer.from('no frame'))).toThrow('not an LZ4 frame');
  });
});

it('zstd is that of Node', async () => {
  make();
  const compressed = await promisify<Buffer, Buffer>(zlib.zstdCompress)(Buffer.from('x'));
  expect((await codec('ZSTD').decompress(compressed)).toString()).toBe('x');
});
