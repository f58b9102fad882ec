import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import type { Outbox } from '@orders/outbox';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import type { Kysely } from 'kysely';
import { createAuthenticator, type Identity } from './authentication.ts';
import { ApiError, shuttingDown } from './errors.ts';
import { createIntake } from './intake.ts';
import { parseJsonBody } from './json-body.ts';
import { refuseConnection, sendProblem } from './problem.ts';
import { checkHeaders } from './request-headers.ts';
import { orderRoutes } from './routes/orders.ts';
import { probeRoutes } from './routes/probes.ts';
import { correlationIdOf } from './tracing-headers.ts';
import { strictValidator } from './validation.ts';

/** What the API is made of. */
export interface AppDeps {
  readonly db: Kysely<Database>;
  readonly lifecycle: Pick<OrderLifecycle, 'createOrders'>;
  readonly outbox: Pick<Outbox, 'wake'>;
  readonly findApiKey: (key: string) => Promise<Identity | null>;
  /** Whether orders could be served now. */
  readonly isReady: () => Promise<boolean>;
  readonly logger: FastifyBaseLogger;
  readonly crashPoint?: (point: string) => void;
}

/** Limits of the API. Times in milliseconds. */
export interface AppOptions {
  readonly bodyLimitBytes: number;
  /** A request must have arrived whole within this time. */
  readonly requestTimeoutMs: number;
  /** How often that is looked at. */
  readonly requestTimeoutCheckIntervalMs: number;
  /** A connection on which nothing moves for this long is cut; longer than any answer takes. */
  readonly connectionTimeoutMs: number;
  /** An idle connection is kept for this long: longer than the minute of usual load balancers, who end it first. */
  readonly keepAliveTimeoutMs: number;
  /** A request that the database has not served by then is answered 503. */
  readonly answerDeadlineMs: number;
  /** A revoked API key works for at most this long. */
  readonly apiKeyRememberMs: number;
  /** How long a drain goes on serving while `/readyz` says no. */
  readonly drainDelayMs: number;
  /** How long a drain waits for requests in flight before it cuts them off. */
  readonly drainLimitMs: number;
}

const defaults: AppOptions = {
  bodyLimitBytes: 256 * 1024,
  requestTimeoutMs: 10_000,
  requestTimeoutCheckIntervalMs: 2_000,
  connectionTimeoutMs: 30_000,
  keepAliveTimeoutMs: 72_000,
  answerDeadlineMs: 12_000,
  apiKeyRememberMs: 10_000,
  drainDelayMs: 500,
  drainLimitMs: 20_000,
};

/** The API, not yet listening. */
export interface App {
  readonly http: FastifyInstance;
  /**
   * Ends it without losing an answer: `/readyz` says no while everything else is served for a while; then nothing new
   * is accepted, what is in flight is answered, and connections that carry no request are closed.
   */
  drain(): Promise<void>;
}

/** Builds the HTTP API. `options` replaces single limits. */
export function createApp(deps: AppDeps, options: Partial<AppOptions> = {}): App {
  const limits = { ...defaults, ...options };
  const http = createHttp(deps.logger, limits);
  const drain = drainable(http, limits);

  const { db, findApiKey } = deps;
  const intake = createIntake(deps);
  const authenticate = createAuthenticator({ findApiKey, rememberMs: limits.apiKeyRememberMs });
  probeRoutes(http, { isDraining: drain.started, isReady: deps.isReady });
  orderRoutes(http, { db, intake, authenticate, answerDeadlineMs: limits.answerDeadlineMs });
  return { http, drain: drain.run };
}

function createHttp(logger: FastifyBaseLogger, limits: AppOptions): FastifyInstance {
  const http: FastifyInstance = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'correlationId' }),
    genReqId: (request) => correlationIdOf(request.headers),
    bodyLimit: limits.bodyLimitBytes,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.connectionTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    http: {
      connectionsCheckingInterval: limits.requestTimeoutCheckIntervalMs,
      // Node swaps the two when this one is the larger, as its default of a minute would be: then bodies get that.
      headersTimeout: limits.requestTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      // Node would refuse without a word why; the hook below says it.
      requireHostHeader: false,
    },
    // We refuse such requests ourselves, as a problem.
    return503OnClosing: false,
    frameworkErrors: sendProblem,
    clientErrorHandler: refuseConnection,
  });
  // Node would refuse any but 100-continue without a problem; RFC 9110 lets us pass over it.
  http.server.on('checkExpectation', (request, response) => http.server.emit('request', request, response));
  http.setValidatorCompiler(strictValidator);
  http.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  http.setNotFoundHandler(() => {
    throw new ApiError('not_found');
  });

  http.removeAllContentTypeParsers();
  http.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const encoding = request.headers['content-encoding'] ?? 'identity';
      if (encoding !== 'identity')
        throw new ApiError('unsupported_media_type', { detail: 'send it uncompressed' });
      return parseJsonBody(body);
    },
  );
  http.addHook('onRequest', async (request, reply) => {
    reply.header('x-correlation-id', request.id);
    checkHeaders(request.raw);
  });
  return http;
}

/** How often a drain looks whether the requests in flight have been answered. */
const drainPollIntervalMs = 20;
/** What has been answered gets this long to reach its client before its connection is cut. */
const lastAnswersMs = 100;

/** Gives a server its drain. */
function drainable(http: FastifyInstance, limits: AppOptions) {
  let phase: 'serving' | 'leaving' | 'closing' = 'serving';
  let inFlight = 0;

  http.addHook('onRequest', async (_request, reply) => {
    if (phase === 'closing') throw shuttingDown();
    inFlight++;
    reply.raw.once('close', () => {
      inFlight--;
    });
  });
  http.addHook('onSend', async (_request, reply) => {
    if (phase !== 'serving') reply.header('connection', 'close');
  });

  async function run(): Promise<void> {
    phase = 'leaving';
    await sleep(limits.drainDelayMs);
    phase = 'closing';
    const closed = http.close();
    const giveUpMs = performance.now() + limits.drainLimitMs;
    while (inFlight > 0 && performance.now() < giveUpMs) await sleep(drainPollIntervalMs);
    // Connections that never sent a request would keep the server open until they time out.
    await Promise.race([closed, sleep(lastAnswersMs)]);
    http.server.closeAllConnections();
    await closed;
  }

  return { run, started: () => phase !== 'serving' };
}
