const seed = 0x9747b28c;
const m = 0x5bd1e995;

/** The 32-bit murmur2 of Kafka's Java client, signed; in integers, without the 64-bit arithmetic of kafkajs's own. */
export function murmur2(data: Uint8Array): number {
  const { length } = data;
  const byte = (i: number): number => data[i] as number;
  let h = seed ^ length;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    let k = byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const rest = length - i;
  if (rest > 2) h ^= byte(i + 2) << 16;
  if (rest > 1) h ^= byte(i + 1) << 8;
  if (rest > 0) h = Math.imul(h ^ byte(i), m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

/** The partition that Java's and kafkajs's default partitioners choose for a key. */
export function partitionOf(key: string | Uint8Array, partitions: number): number {
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : key;
  return (murmur2(bytes) & 0x7fffffff) % partitions;
}
