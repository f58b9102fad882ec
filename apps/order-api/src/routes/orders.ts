import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Database } from '@orders/db';
import { type Order, orderOf } from '@orders/order-lifecycle';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { validate as isUuid, v7 as uuidv7 } from 'uuid';
import type { Identity } from '../authentication.ts';
import { withDeadline } from '../deadline.ts';
import { ApiError } from '../errors.ts';
import type { Intake } from '../intake.ts';
import { orderAnswer } from '../order-answer.ts';
import { fingerprintOf, OrderRequest, OrderRequestHeaders, totalMinorOf } from '../order-request.ts';
import { traceparentOf } from '../tracing-headers.ts';
import { refuseOtherMethods } from './refuse-other-methods.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set in every route that needs an API key. */
    tenantId: string;
  }
}

/** What the order routes need. */
export interface OrderRoutesDeps {
  readonly db: Kysely<Database>;
  readonly intake: Intake;
  readonly authenticate: (authorization: string | undefined) => Promise<Identity>;
  /** A request that takes longer is answered 503. */
  readonly answerDeadlineMs: number;
}

const ordersPath = '/v1/orders';
/** Idempotency keys are unique per tenant and route. */
const createRoute = `POST ${ordersPath}`;

/** `POST /v1/orders`, `GET /v1/orders/:id`, and the way from `/orders` to them. */
export function orderRoutes(instance: FastifyInstance, deps: OrderRoutesDeps): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();
  app.decorateRequest('tenantId', '');
  // Before the body is read: nobody unknown makes us parse anything.
  const onRequest = async (request: FastifyRequest) => {
    request.tenantId = (await deps.authenticate(request.headers.authorization)).tenantId;
  };

  app.post(
    ordersPath,
    { onRequest, schema: { body: OrderRequest, headers: OrderRequestHeaders } },
    async (request, reply) => {
      const { body, headers, tenantId } = request;
      const traceparent = traceparentOf(headers);
      const order = {
        ...body,
        id: uuidv7(),
        tenantId,
        totalMinor: totalMinorOf(body.items),
        correlationId: request.id,
        ...(traceparent === undefined ? {} : { traceparent }),
      };
      const result = await withDeadline(deps.answerDeadlineMs, (signal) =>
        deps.intake.take({
          order,
          route: createRoute,
          idempotencyKey: headers['idempotency-key'],
          fingerprint: fingerprintOf(body),
          signal,
        }),
      );
      if (result.outcome === 'key-reused') {
        const detail = 'use a new idempotency key for a new order';
        const errors = [
          { in: 'header', field: 'idempotency-key', message: 'was used with another body' },
        ] as const;
        throw new ApiError('idempotency_key_reused', { detail, errors });
      }
      const replayed = result.outcome === 'replayed';
      const answer = replayed ? result.answer : orderAnswer(result.order);
      const orderId = answer.id;
      if (replayed) request.log.info({ orderId, tenantId }, 'order replayed');
      else request.log.info({ orderId, eventId: result.eventId, tenantId }, 'order accepted');
      if (replayed) reply.header('idempotent-replayed', 'true');
      return reply
        .code(201)
        .headers({ location: `${ordersPath}/${orderId}`, ...uncached })
        .send(answer);
    },
  );

  app.get(`${ordersPath}/:id`, { onRequest }, async (request, reply) => {
    const { id } = request.params as { id: string };
    const order = isUuid(id) ? await readOrder(deps, request.tenantId, id) : undefined;
    if (order === undefined) throw new ApiError('not_found', { detail: 'there is no such order' });
    return reply.headers(uncached).send(orderAnswer(order));
  });

  const redirect = async (_request: FastifyRequest, reply: FastifyReply) => reply.redirect(ordersPath, 308);
  app.post('/orders', { onRequest: redirect }, redirect);

  refuseOtherMethods(app, ordersPath, ['POST']);
  refuseOtherMethods(app, `${ordersPath}/:id`, ['GET', 'HEAD']);
  refuseOtherMethods(app, '/orders', ['POST']);
}

const uncached = { 'cache-control': 'no-store' };

/** Another tenant's order is as absent as one that never was. */
async function readOrder(deps: OrderRoutesDeps, tenantId: string, id: string): Promise<Order | undefined> {
  const row = await withDeadline(deps.answerDeadlineMs, () =>
    deps.db
      .selectFrom('orders')
      .selectAll()
      .where('id', '=', id)
      .where('tenant_id', '=', tenantId)
      .executeTakeFirst(),
  );
  return row === undefined ? undefined : orderOf(row);
}
