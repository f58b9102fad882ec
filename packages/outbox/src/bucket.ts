import { createHash } from 'node:crypto';

/** Number of buckets; fixed for ever, since rows carry their bucket and one relay at a time owns it. */
export const bucketCount = 64;

/**
 * The bucket of a partition key: the first byte of the SHA-256 of its UTF-8 bytes, modulo 64. The database computes
 * the same when a row is inserted; the specification and its test vectors are in the README.
 */
export function bucketOf(key: string): number {
  return createHash('sha256').update(key, 'utf8').digest().readUInt8(0) % bucketCount;
}
