import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import Type from 'typebox';
import { type ChargeRequest, createCharges } from './charges.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import { type SimulatorSettings, settingsChange } from './settings.ts';

const chargeBody = Type.Object(
  {
    reference: Type.String({ minLength: 1, maxLength: 200 }),
    amountMinor: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
    paymentMethod: Type.String({ minLength: 1, maxLength: 200 }),
  },
  { additionalProperties: false },
);

const chargeHeaders = Type.Object({
  'idempotency-key': Type.String({ minLength: 1, maxLength: 200 }),
});

/** The gateway over HTTP; `initial` is what `POST /control` changes. */
export function createGatewayServer(deps: {
  ledger: Ledger;
  seed: string;
  initial: SimulatorSettings;
}): FastifyInstance {
  const charges = createCharges(deps);
  let settings = Object.freeze({ ...deps.initial });
  const app = fastify({
    // Held connections of timed-out calls must not hold up the end.
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });

  app.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const name = status < 500 ? 'invalid_request' : 'internal';
    return reply.code(status).send({ error: name, message: error.message });
  });

  app.get('/control', async () => ({ ...settings, inFlight: charges.inFlight() }));

  app.post<{ Body: Partial<SimulatorSettings> }>(
    '/control',
    { schema: { body: settingsChange } },
    async (request) => {
      settings = Object.freeze({ ...settings, ...request.body });
      return { ...settings, inFlight: charges.inFlight() };
    },
  );

  app.post<{ Body: ChargeRequest; Headers: { 'idempotency-key': string } }>(
    '/charges',
    { schema: { body: chargeBody, headers: chargeHeaders } },
    async (request, reply) => {
      const met = settings;
      if (met.mode === 'error-before') return reply.code(500).send({ error: 'internal' });
      if (met.mode === 'rate-limited') return reply.code(429).send({ error: 'rate_limited' });
      const charged = await charges.charge(request.headers['idempotency-key'], request.body, met);
      if (charged.result === 'in-progress') return reply.code(409).send({ error: 'in_progress' });
      if (charged.result === 'key-reused') return reply.code(422).send({ error: 'key_reused' });
      if (charged.result === 'replayed') reply.header('idempotent-replayed', 'true');
      else if (charged.entry.outcome === 'captured') {
        if (met.mode === 'timeout-after-capture') return reply.hijack();
        if (met.mode === 'error-after-capture') return reply.code(500).send({ error: 'internal' });
      }
      return sendEntry(reply, charged.entry);
    },
  );

  app.get<{ Params: { key: string } }>('/charges/:key', async (request, reply) => {
    const entry = charges.find(request.params.key);
    if (entry === undefined) return reply.code(404).send({ error: 'not_found' });
    return sendEntry(reply, entry);
  });

  return app;
}

function sendEntry(reply: FastifyReply, entry: LedgerEntry) {
  if (entry.outcome === 'declined')
    return reply.code(402).send({ status: 'declined', code: entry.code, kind: entry.kind });
  const { chargeId, amountMinor, currency, reference } = entry;
  return reply.code(200).send({ status: 'captured', chargeId, amountMinor, currency, reference });
}
