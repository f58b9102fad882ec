import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type {
  Captured,
  ChargeRequest,
  Declined,
  Gateway,
  GatewayOutcome,
  LookupOutcome,
  Unknown,
} from './gateway.ts';
import type { Logger } from './logger.ts';
import { silentLogger } from './logger.ts';

/** What of an answer is stored: short, and nothing that the database could not hold. */
const text = Type.String({ pattern: '^[\\x20-\\x7e]{1,255}$' });
const captureBody = Compile(
  Type.Object({
    status: Type.Literal('captured'),
    chargeId: text,
    amountMinor: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    currency: text,
    reference: text,
  }),
);
const declineBody = Compile(
  Type.Object({
    status: Type.Literal('declined'),
    code: text,
    kind: Type.Union([Type.Literal('soft'), Type.Literal('hard')]),
  }),
);
const notFoundBody = Compile(Type.Object({ error: Type.Literal('not_found') }));

/**
 * Refusals of the request itself: never executed, and never will be as it is. They are mistakes of ours (credentials,
 * address, a body it does not take), so that the payment waits for us to mend them. 422 is not among them: it may
 * mean that the key has been used for another body, which may have been executed.
 */
const refusals = new Set([400, 401, 403, 404, 405, 413, 414, 415]);

/** An answer is a few hundred bytes; a larger one is not read to its end. */
const answerBytesMax = 64 * 1024;

/** An answer's status and its body, `undefined` when that is not JSON. */
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * The gateway over HTTP, as the gateway simulator speaks it.
 * @param options `timeoutMs` ends a call, the reading of its answer included
 */
export function createHttpGateway(options: {
  readonly url: string;
  readonly timeoutMs: number;
  readonly logger?: Logger;
}): Gateway {
  const base = options.url.replace(/\/+$/, '');
  const logger = options.logger ?? silentLogger;

  async function exchange(path: string, init: RequestInit): Promise<Answer> {
    const signal = AbortSignal.timeout(options.timeoutMs);
    const response = await fetch(`${base}${path}`, { ...init, signal, redirect: 'manual' });
    return { status: response.status, body: jsonOf(await textOf(response)) };
  }

  /** A capture or a decline in full; null for all else, an answer that says less than it should included. */
  function knownOutcome({ status, body }: Answer, reference: string): Captured | Declined | Unknown | null {
    if (status === 402 && declineBody.Check(body)) {
      return { outcome: 'declined', kind: body.kind, code: body.code };
    }
    if (status !== 200 || !captureBody.Check(body)) return null;
    const { chargeId, amountMinor, currency } = body;
    if (body.reference !== reference) {
      const fields = { orderId: reference, chargeId, answered: body.reference };
      logger.error(
        fields,
        'the gateway answers with a charge of another order; the outcome is taken for open',
      );
      return { outcome: 'unknown', reason: 'a charge of another reference' };
    }
    return { outcome: 'captured', chargeId, amountMinor, currency };
  }

  async function charge(request: ChargeRequest): Promise<GatewayOutcome> {
    const { idempotencyKey, reference, amountMinor, currency, paymentMethod } = request;
    try {
      const answer = await exchange('/charges', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
        body: JSON.stringify({ reference, amountMinor, currency, paymentMethod }),
      });
      const known = knownOutcome(answer, reference);
      if (known !== null) return known;
      if (answer.status === 429) return { outcome: 'not-executed', reason: 'rate limited (429)' };
      if (refusals.has(answer.status)) {
        const fields = { orderId: reference, idempotencyKey, status: answer.status };
        logger.error(fields, 'the gateway refuses our requests; the payment waits until that is mended');
        return { outcome: 'not-executed', reason: `refused (${answer.status})` };
      }
      return { outcome: 'unknown', reason: `answer ${answer.status}` };
    } catch (error) {
      const outcome = neverConnected(error) ? 'not-executed' : 'unknown';
      return { outcome, reason: reasonOf(error) };
    }
  }

  async function lookup({
    idempotencyKey,
    reference,
  }: Pick<ChargeRequest, 'idempotencyKey' | 'reference'>): Promise<LookupOutcome> {
    try {
      const answer = await exchange(`/charges/${encodeURIComponent(idempotencyKey)}`, { method: 'GET' });
      // A 404 without the gateway's own words may come from anything on the way.
      if (answer.status === 404 && notFoundBody.Check(answer.body)) return { outcome: 'not-found' };
      return knownOutcome(answer, reference) ?? { outcome: 'unknown', reason: `answer ${answer.status}` };
    } catch (error) {
      return { outcome: 'unknown', reason: reasonOf(error) };
    }
  }

  return {
    capabilities: { replaysDeclines: true, callDurationMaxMs: options.timeoutMs },
    charge,
    lookup,
  };
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > answerBytesMax) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // a proxy's page, or an answer cut short: the status alone has to do
  }
}

type NetworkError = Error & { code?: string; syscall?: string; cause?: unknown };

/**
 * Whether no connection came about, so that nothing can have been sent. A reset, or "host unreachable" on a
 * connection that stood, does not say so: only the system calls that precede it do.
 */
function neverConnected(error: unknown): boolean {
  const { cause } = error as NetworkError;
  if (!(cause instanceof Error)) return false;
  const { code, syscall } = cause as NetworkError;
  // Several addresses were tried: none may have led anywhere.
  if (cause instanceof AggregateError) return cause.errors.every((one) => neverConnected({ cause: one }));
  return syscall === 'connect' || syscall === 'getaddrinfo' || code === 'UND_ERR_CONNECT_TIMEOUT';
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as NetworkError;
  const { code, message: why } = (cause ?? {}) as NetworkError;
  return name === 'TimeoutError' ? 'no answer in time' : (code ?? why ?? message);
}
