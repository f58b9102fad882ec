import type { FastifyInstance } from 'fastify';
import { withDeadline } from '../deadline.ts';
import { shuttingDown, unavailable } from '../errors.ts';
import { refuseOtherMethods } from './refuse-other-methods.ts';

/** An orchestrator waits a second or so. */
const readyDeadlineMs = 2_000;

/** `/livez`: the process answers. `/readyz`: it wants requests, and can serve them. */
export function probeRoutes(
  app: FastifyInstance,
  { isDraining, isReady }: { isDraining: () => boolean; isReady: () => Promise<boolean> },
): void {
  app.get('/livez', async () => ({ status: 'live' }));
  app.get('/readyz', async () => {
    if (isDraining()) throw shuttingDown();
    if (!(await withDeadline(readyDeadlineMs, isReady))) throw unavailable('the service is not ready');
    return { status: 'ready' };
  });
  for (const url of ['/livez', '/readyz']) refuseOtherMethods(app, url, ['GET', 'HEAD']);
}
