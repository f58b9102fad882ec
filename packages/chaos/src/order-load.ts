import { Agent, request } from 'node:http';
import { exampleOrder } from '@orders/demo';

/** What became of one request for an order. */
export interface Answer {
  readonly key: string;
  /** 0 when the connection failed. */
  readonly status: number;
  /** The order's id, or what was said instead. */
  readonly text: string;
  /** Whether the key had been answered before. */
  readonly repeated: boolean;
}

/** Orders that come in. */
export interface OrderLoad {
  /** All answers so far, growing. */
  readonly answers: readonly Answer[];
  /** Sends no more and waits for what is under way. */
  stop(): Promise<readonly Answer[]>;
}

/**
 * Connections of the client: few enough for each to be used several times a second, however slow the answers. One that
 * is not used during a drain is not told to close, and may be closed when its next request is on its way.
 */
const connectionsMax = 4;
/** Every so many orders, one is declined for good, and one is sent a second time after its answer. */
const declinedEvery = 10;
const repeatedEvery = 7;
/** And every other one comes on a connection of its own. */
const aloneEvery = 2;

/**
 * Sends orders at a steady rate, whether earlier ones have been answered or not, on connections that are kept alive and
 * on new ones, and none of them a second time because it failed: a client that does not forgive.
 */
export function startOrderLoad(options: {
  url: string;
  apiKey: string;
  name: string;
  ordersPerSecond: number;
}): OrderLoad {
  const { url, apiKey, name, ordersPerSecond } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax, scheduling: 'fifo' });
  const answers: Answer[] = [];
  const underWay = new Set<Promise<void>>();
  let sent = 0;

  async function send(key: string, body: string, repeated = false): Promise<void> {
    const connections = sent % aloneEvery === 0 ? new Agent() : agent;
    const answer = { key, repeated, ...(await post(connections, { url, apiKey, key, body })) };
    answers.push(answer);
  }
  async function sendNext(): Promise<void> {
    const n = ++sent;
    const paymentMethod = n % declinedEvery === 0 ? 'tok_sim_hard_decline' : 'tok_sim_approve';
    const body = JSON.stringify({ ...exampleOrder, customerId: `load-${n % 50}`, paymentMethod });
    await send(`${name}-${n}`, body);
    if (n % repeatedEvery === 0) await send(`${name}-${n}`, body, true);
  }
  const sending = setInterval(() => {
    const one = sendNext().finally(() => underWay.delete(one));
    underWay.add(one);
  }, 1000 / ordersPerSecond);

  return {
    answers,
    async stop() {
      clearInterval(sending);
      await Promise.all(underWay);
      agent.destroy();
      return answers;
    },
  };
}

/** An answer must come; longer than the API's own deadline. */
const answerTimeoutMs = 20_000;

function post(
  agent: Agent,
  { url, apiKey, key, body }: { url: string; apiKey: string; key: string; body: string },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const failed = (error: Error) => resolve({ status: 0, text: String(error) });
    const headers = {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'idempotency-key': key,
    };
    const options = { agent, method: 'POST', headers, timeout: answerTimeoutMs };
    const sent = request(`${url}/v1/orders`, options, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.once('error', failed);
      answer.once('end', () => {
        const status = answer.statusCode ?? 0;
        resolve({ status, text: status === 201 ? (JSON.parse(text) as { id: string }).id : text });
      });
    });
    sent.once('timeout', () => sent.destroy(new Error(`no answer after ${answerTimeoutMs} ms`)));
    sent.once('error', failed);
    sent.end(body);
  });
}
