import type { ChunkOutcome } from '../source.ts';
import type { MemoryRecord, MemorySource } from './memory-source.ts';

/**
 * Delivers records, and then the very same ones again, at the same places: what happens when the offsets were not
 * committed. A consumer that works handles them once. @returns what became of the second delivery
 */
export async function deliverTwice(
  source: MemorySource,
  records: readonly MemoryRecord[],
): Promise<readonly ChunkOutcome[]> {
  await source.deliver(records);
  return source.redeliver();
}
