import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquireDevStack, type DevStack } from '@orders/dev-stack';

/** The servers outlive their last holder only this long, if it was us who had them started. */
const lingerMs = 500;
/** PostgreSQL closes within this time of our release, or somebody else holds the stack. */
const sharedAfterMs = 3_000;
const stopTimeoutMs = 30_000;

/**
 * Holds the shared development stack while `work` runs, so that nothing restarts in between, and comes back
 * when the servers are gone, unless somebody else uses them too.
 */
export async function withDevStack<T>(
  log: (line: string) => void,
  work: (stack: DevStack) => Promise<T>,
): Promise<T> {
  const stack = await acquireDevStack({ log, lingerMs });
  try {
    return await work(stack);
  } finally {
    await stack.release();
    if (stack.mode !== 'environment') await waitUntilStopped(stack);
  }
}

async function waitUntilStopped(stack: DevStack): Promise<void> {
  const { hostname, port } = new URL(stack.postgresUrl);
  if (await stillListens(`${hostname}:${port}`, sharedAfterMs)) return;
  await Promise.all(stack.kafkaBrokers.map((broker) => stillListens(broker, stopTimeoutMs)));
}

/** False as soon as nothing listens at `host:port`; true when something still does after `limitMs`. */
async function stillListens(address: string, limitMs: number): Promise<boolean> {
  const [host = '127.0.0.1', port = ''] = address.split(':');
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; await sleep(50)) {
    const socket = connect({ host, port: Number(port) });
    try {
      await once(socket, 'connect');
    } catch {
      return false; // refused: what we wait for
    } finally {
      socket.destroy();
    }
  }
  return true;
}
