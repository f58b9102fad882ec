import { acquireDevStack, type DevStack } from '@orders/dev-stack';

/**
 * Holds the shared development stack while `work` runs, so that nothing restarts in between. Comes back when the
 * servers are gone, unless somebody else holds them too. Rejects when `signal` aborts while they start; they end
 * with our process then.
 */
export async function withDevStack<T>(
  signal: AbortSignal,
  work: (stack: DevStack) => Promise<T>,
): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  signal.throwIfAborted();
  const log = (line: string) => console.error(`dev-stack: ${line}`);
  const stack = await Promise.race([acquireDevStack({ log }), aborted.promise]);
  signal.removeEventListener('abort', abort);
  try {
    return await work(stack);
  } finally {
    await stack.release();
  }
}
