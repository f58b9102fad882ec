import { spawn } from 'node:child_process';

/**
 * Ends what this process leaves behind when it ends, however it does: a test runner ends its workers without their exit
 * handlers, and nobody handles SIGKILL. A shell reads from us which process runs, as `SIGNAL PID`, and sees the end of
 * its input when we are gone. It then ends the last one, and removes the folder.
 */
const script = `
signal= pid=
while read -r next number; do signal=$next pid=$number; done
if [ -n "$pid" ]; then
  kill -s "$signal" "$pid"
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$0"`;

export interface OrphanWatch {
  /** From now on this is the process that must not stay. */
  watch(pid: number, endSignal: NodeJS.Signals): void;
  /** There is none any more, and the folder may be gone. */
  end(): void;
}

/** @param dir the folder that is removed when this process ends */
export function startOrphanWatch(dir: string): OrphanWatch {
  // In a group of its own: Ctrl-C is for us, and it acts by our end.
  const shell = spawn('sh', ['-c', script, dir], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  shell.unref();
  const { stdin } = shell;
  stdin.on('error', () => undefined); // without a watch the servers are closed all the same
  (stdin as unknown as { unref(): void }).unref();
  return {
    watch: (pid, endSignal) => void stdin.write(`${endSignal.replace('SIG', '')} ${pid}\n`),
    end: () => void stdin.end('\n'),
  };
}
