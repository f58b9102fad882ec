/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md */
const lz4 = {
  magic: 0x184d2204,
  blockChecksum: 0x10,
  contentSize: 0x08,
  dictionary: 0x01,
  stored: 0x80000000,
};

/** An upper bound, at most a block above the truth, of what an LZ4 frame becomes, without decompressing it. */
export function lz4BytesMax(frame: Buffer): number {
  if (frame.length < 7 || frame.readUInt32LE(0) !== lz4.magic) throw new Error('not an LZ4 frame');
  const flags = frame.readUInt8(4);
  // 64 KiB, 256 KiB, 1 MiB, 4 MiB
  const blockBytesMax = 2 ** (8 + 2 * ((frame.readUInt8(5) >> 4) & 7));
  let at = 7 + (flags & lz4.contentSize ? 8 : 0) + (flags & lz4.dictionary ? 4 : 0);
  let bytes = 0;
  while (at + 4 <= frame.length) {
    const size = frame.readUInt32LE(at);
    if (size === 0) break;
    const isStored = size >= lz4.stored;
    const stored = isStored ? size - lz4.stored : size;
    bytes += isStored ? stored : blockBytesMax;
    at += 4 + stored + (flags & lz4.blockChecksum ? 4 : 0);
  }
  return bytes;
}

/** A block of snappy and the bytes it becomes, which it says itself. */
export interface SnappyBlock {
  readonly block: Buffer;
  readonly bytes: number;
}

/** What snappy-java, and with it Kafka's Java client, puts around the blocks: a name, two versions, then length and block. */
const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const xerialHeaderBytes = 16;

/** The blocks of snappy data, with or without the framing of snappy-java. */
export function* snappyBlocks(data: Buffer): Generator<SnappyBlock> {
  if (!data.subarray(0, xerial.length).equals(xerial)) {
    yield { block: data, bytes: snappyBytes(data) };
    return;
  }
  for (let at = xerialHeaderBytes; at < data.length; ) {
    const length = data.readUInt32BE(at);
    const block = data.subarray(at + 4, at + 4 + length);
    if (block.length < length) throw new Error('the last block of the snappy batch is incomplete');
    yield { block, bytes: snappyBytes(block) };
    at += 4 + length;
  }
}

/** The length that stands before a block, seven bits a byte, the lowest first. */
function snappyBytes(block: Buffer): number {
  let bytes = 0;
  for (let i = 0; i < 5; i++) {
    const byte = block[i];
    if (byte === undefined) break;
    bytes += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return bytes;
  }
  throw new Error('the snappy block does not begin with its length');
}
