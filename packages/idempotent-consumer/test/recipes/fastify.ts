// Fastify: a route that may be called again with the same event has its effect once.
import Fastify, { type FastifyInstance } from 'fastify';
import type pg from 'pg';
import { pgTransaction, processOnce } from '../../src/index.ts';

export function buildWebhook(pool: pg.Pool): FastifyInstance {
  const app = Fastify();
  const transaction = pgTransaction(pool);
  app.post<{ Body: { eventId: string; name: string } }>('/webhook', async (request, reply) => {
    const { eventId, name } = request.body;
    const { signal } = new AbortController();
    const { outcome } = await transaction(
      (tx) =>
        processOnce(tx, { consumerName: 'webhook', eventId }, async () => {
          await tx.query(
            'INSERT INTO counters VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1',
            [name],
          );
        }),
      { signal },
    );
    return reply.code(outcome === 'processed' ? 201 : 200).send({ outcome });
  });
  return app;
}
