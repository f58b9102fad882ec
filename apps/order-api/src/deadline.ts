import { unavailable } from './errors.ts';

/**
 * Runs `work` and gives up on it after `limitMs` with `unavailable`; then `work` is told by the signal.
 * (fastify's own handlerTimeout cannot be used: it ends as soon as a request's body has been read.)
 */
export async function withDeadline<R>(
  limitMs: number,
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const controller = new AbortController();
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = unavailable(`no answer within ${limitMs} ms`);
    controller.abort(error);
    expired.reject(error);
  }, limitMs);
  try {
    return await Promise.race([work(controller.signal), expired.promise]);
  } finally {
    clearTimeout(timer);
  }
}
