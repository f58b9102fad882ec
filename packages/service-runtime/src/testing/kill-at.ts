/**
 * Loaded with `node --import` into a service: at the crash point named by KILL_AT the process writes the point's
 * name to KILL_AT_FILE, so that a test can assert that it was reached, and kills itself as if the machine had died.
 */
import { writeFileSync } from 'node:fs';
import { replaceCrashPoint } from '../crash-point.ts';

const { KILL_AT: point, KILL_AT_FILE: file } = process.env;
if (!point || !file) throw new Error('kill-at.ts needs KILL_AT and KILL_AT_FILE');

replaceCrashPoint((reached) => {
  if (reached !== point) return;
  writeFileSync(file, point);
  process.kill(process.pid, 'SIGKILL');
  // Not another line of the service may run.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
