import { waitFor } from '@orders/dev-stack';

/** An order as the API answers it. */
export interface OrderAnswer {
  id: string;
  state: string;
  version: number;
  currency: string;
  totalMinor: number;
  failure?: { code: string; attempts: number };
}

/** One HTTP exchange with the API. */
export interface ApiAnswer<T = OrderAnswer> {
  status: number;
  headers: Headers;
  body: T;
  elapsedMs: number;
}

/** An order that the API takes. */
export const exampleOrder = {
  customerId: 'customer-1',
  currency: 'EUR',
  paymentMethod: 'tok_visa',
  items: [{ sku: 'tea-100', name: 'Green tea, 100 g', quantity: 2, unitAmountMinor: 1250 }],
};

/** Talks to the API as a client would. `name` begins the idempotency keys that are not given. */
export function createOrderClient(options: { apiUrl: string; apiKey: string; name: string }) {
  const { apiUrl, apiKey, name } = options;
  let keys = 0;

  async function request<T = OrderAnswer>(
    method: string,
    path: string,
    o: { body?: unknown; headers?: object } = {},
  ): Promise<ApiAnswer<T>> {
    const startedAt = performance.now();
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', ...o.headers },
      ...(o.body === undefined ? {} : { body: JSON.stringify(o.body) }),
    });
    const body = (await response.json()) as T;
    const elapsedMs = performance.now() - startedAt;
    return { status: response.status, headers: response.headers, body, elapsedMs };
  }

  /** POST /v1/orders with an idempotency key of its own, unless one is given. */
  const placeOrder = (change: object = {}, idempotencyKey = `${name}-${++keys}`, headers: object = {}) =>
    request('POST', '/v1/orders', {
      body: { ...exampleOrder, ...change },
      headers: { 'idempotency-key': idempotencyKey, ...headers },
    });
  const getOrder = (id: string) => request('GET', `/v1/orders/${id}`);

  /** Waits until the API shows the order in this state. */
  const orderInState = (id: string, state: string, timeoutMs = 60_000) =>
    waitFor(
      `order ${id} in state ${state}`,
      async () => {
        const { body } = await getOrder(id);
        return body.state === state ? body : null;
      },
      { timeoutMs },
    );

  return { request, placeOrder, getOrder, orderInState };
}
