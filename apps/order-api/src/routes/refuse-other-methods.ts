import type { FastifyInstance } from 'fastify';
import { ApiError } from '../errors.ts';

/** Answers 405 with `Allow` to every method that `url` does not have, before anything of the body is read. */
export function refuseOtherMethods(app: FastifyInstance, url: string, allowed: readonly string[]): void {
  const refuse = async () => {
    throw new ApiError('method_not_allowed', { headers: { allow: allowed.join(', ') } });
  };
  const method = app.supportedMethods.filter((name) => !allowed.includes(name));
  app.route({ method, url, onRequest: refuse, handler: refuse });
}
