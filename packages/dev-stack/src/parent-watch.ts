/**
 * Loaded into a service's process with `--import`: ends the process when the one that started it is gone.
 * Descriptor 3 is a pipe that only the starter holds open, so the kernel tells us even of its SIGKILL, and the
 * service itself need not know.
 */
import { Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';

/** The descriptor that `startService` passes. */
const parentPipe = 3;

// A worker thread inherits the flags of the process, but one watch is enough.
if (isMainThread) {
  const parent = new Socket({ fd: parentPipe, readable: true, writable: false });
  const end = () => process.kill(process.pid, 'SIGKILL');
  parent.on('error', end);
  parent.on('close', end);
  parent.resume();
  parent.unref();
}
