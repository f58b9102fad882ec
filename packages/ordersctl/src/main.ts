#!/usr/bin/env node
import { runCommandLine } from './program.ts';

/** What has to be brought to an end before the process is. */
const stops = new Set<() => void>();
let interruptedBy: number | undefined;

// As the first process of a container it would not be ended by a signal that it does not handle.
function endAt(status: number): void {
  if (stops.size === 0 || interruptedBy !== undefined) process.exit(status);
  interruptedBy = status;
  for (const stop of stops) stop();
}
process.on('SIGTERM', () => endAt(143));
process.on('SIGINT', () => endAt(130));

const status = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  onInterrupt(stop) {
    stops.add(stop);
    return () => stops.delete(stop);
  },
});
process.exitCode = interruptedBy ?? status;
