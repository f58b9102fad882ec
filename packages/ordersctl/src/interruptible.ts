import { OrdersctlError } from './errors.ts';
import type { Output } from './output.ts';

/**
 * Runs work that can be left off: at Ctrl-C `signal` is aborted, and the work ends after what it has in hand.
 * @throws OrdersctlError `ORDERSCTL_INTERRUPTED`, with how to go on, if it was not over then
 */
export async function interruptible<R extends { readonly isOver: boolean }>(
  output: Output,
  again: string,
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const interrupting = new AbortController();
  const forget = output.onInterrupt?.(() => interrupting.abort());
  try {
    const result = await work(interrupting.signal);
    if (result.isOver) return result;
    throw new OrdersctlError('ORDERSCTL_INTERRUPTED', `interrupted; ${again}`);
  } finally {
    forget?.();
  }
}
