import { writeSync } from 'node:fs';

/** Places that a crash must not harm, in the order in which a consumer passes them: see `crashPoint` of its deps. */
export const crashPoints = [
  // It is noted that the chunk was begun.
  'consumer.accept.begun',
  // The handler has succeeded; nothing is committed.
  'consumer.accept.before-commit',
  // The chunk is taken over; whoever gets it again finds duplicates.
  'consumer.accept.after-commit',
  'consumer.offsets.before-commit',
  'consumer.offsets.after-commit',
  // A stored event is this process's to be tried.
  'consumer.retry.claimed',
  // It was tried, and its handler has succeeded; nothing is committed.
  'consumer.retry.before-commit',
  'consumer.retry.after-commit',
] as const;
/** One of {@link crashPoints}. */
export type CrashPoint = (typeof crashPoints)[number];

/**
 * A `crashPoint` that ends this process at one of them, as a crash would: by SIGKILL. It writes the place to standard
 * output before, so that whoever started the process can see that it was reached.
 */
export function killAt(point: CrashPoint): (passed: string) => void {
  return (passed) => {
    if (passed !== point) return;
    writeSync(1, point);
    process.kill(process.pid, 'SIGKILL');
  };
}
