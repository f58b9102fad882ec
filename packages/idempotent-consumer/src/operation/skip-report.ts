import type { Logger } from '../logger.ts';

/** After this long with skipped records only, somebody should look at the names of the types. */
const reportAfterMs = 5 * 60_000;

/** Notices a consumer that skips everything: a misspelt type looks like a topic without news. */
export interface SkipReport {
  /** Records of a chunk were skipped. What else there was in it is said before. */
  skipped(count: number): void;
  /** Records of a chunk were of types that `decode` knows, events that came again included. */
  known(count: number): void;
}

export function createSkipReport(
  logger: Logger,
  entry: { readonly consumerName: string; readonly topics: readonly string[] },
  now: () => number = () => performance.now(),
): SkipReport {
  let sinceMs: number | undefined;
  let skippedSince = 0;
  return {
    skipped(count) {
      if (count === 0) return;
      sinceMs ??= now();
      skippedSince += count;
      if (now() - sinceMs < reportAfterMs) return;
      logger.warn(
        { ...entry, skipped: skippedSince },
        'every record of the last minutes was of a type that decode skips; are the types it looks for those on the topic?',
      );
      sinceMs = undefined;
      skippedSince = 0;
    },
    known(count) {
      if (count === 0) return;
      sinceMs = undefined;
      skippedSince = 0;
    },
  };
}
