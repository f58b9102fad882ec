/**
 * Buckets that have to be looked at, because somebody says that there are events in them or because it is time. What is
 * asked for while a bucket is in flight has to be asked for again: its next rows can only be read when it has landed.
 */
export function createLooks() {
  let all = true;
  const some = new Set<number>();

  /** @param buckets none: all */
  function ask(buckets?: Iterable<number>): void {
    if (buckets === undefined) all = true;
    else for (const bucket of buckets) some.add(bucket);
  }

  /** @returns those of `readable` that are asked for, and forgets what was */
  function take(readable: readonly number[]): readonly number[] {
    const taken = all ? readable : readable.filter((bucket) => some.has(bucket));
    all = false;
    some.clear();
    return taken;
  }

  return { ask, take, isAny: (isFree: (bucket: number) => boolean) => all || [...some].some(isFree) };
}
