/** Maps with at most `parallelMax` at work; after a rejection no further one is started, and it rejects. */
export async function inParallel<T, R>(
  items: readonly T[],
  parallelMax: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as T);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  // All workers are waited for, so that nothing of theirs is left when we reject.
  const ends = await Promise.allSettled(Array.from({ length: parallelMax }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return results;
}
