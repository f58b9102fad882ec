/** Exit status of a check that was interrupted, as shells know it for Ctrl-C. */
export const interruptedStatus = 130;

/** Aborts at the first Ctrl-C, SIGTERM or SIGHUP; later ones are ignored, because the clean-up is under way. */
export function abortOnSignals(): AbortSignal {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => interruption.abort(new Error(`interrupted by ${signal}`)));
  return interruption.signal;
}
