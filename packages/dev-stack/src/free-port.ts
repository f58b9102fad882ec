import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { DevStackError } from './errors.ts';

/** Below the range from which systems take the local ports of outgoing connections (Linux from 32768). */
const lowest = 15_000;
const highest = 30_000;

const triesMax = 100;

/**
 * A TCP port that nobody listens on. It stays free until the caller listens, or restarts, as far as can be had:
 * no outgoing connection is ever given a port of this range, and two callers rarely draw the same.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(lowest, highest);
    if (await isFree(port)) return port;
  }
  throw new DevStackError('DEV_STACK_START_FAILED', `No free port found from ${lowest} to ${highest}.`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port); // on all addresses, so that a listener on any of them is noticed
    await once(server, 'listening');
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
  server.close();
  await once(server, 'close');
  return true;
}
