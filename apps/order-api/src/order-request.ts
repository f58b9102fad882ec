import { createHash } from 'node:crypto';
import { type Static, type TProperties, Type } from 'typebox';
import { invalidRequest } from './validation.ts';

const strict = <P extends TProperties>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });
const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });

/** What `POST /v1/orders` takes. Amounts in the currency's minor unit, integers that every reader holds exactly. */
export const OrderRequest = strict({
  customerId: text(128),
  currency: Type.String({ pattern: '^[A-Z]{3}$', description: 'three capital letters, such as EUR' }),
  /** A provider's token; never a card. */
  paymentMethod: Type.String({
    pattern: '^tok_[A-Za-z0-9_-]{1,196}$',
    description: 'a token of the payment provider: tok_ and 1 to 196 letters, digits, _ or -',
  }),
  items: Type.Array(
    strict({
      sku: text(64),
      name: text(200),
      quantity: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
      unitAmountMinor: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    }),
    { minItems: 1, maxItems: 100 },
  ),
  // The pattern admits line breaks: typebox's own for a record of texts does not, and lets such a key's value pass
  // unchecked.
  metadata: Type.Optional(
    Type.Record(Type.String({ pattern: '^[\\s\\S]{1,64}$' }), Type.String({ maxLength: 500 }), {
      maxProperties: 50,
      additionalProperties: false,
    }),
  ),
});
/** What `POST /v1/orders` takes. */
export type OrderRequest = Static<typeof OrderRequest>;

/** Headers of `POST /v1/orders`. */
export const OrderRequestHeaders = Type.Object({
  'idempotency-key': Type.String({
    pattern: '^[\\x21-\\x7e]{1,255}$',
    description: '1 to 255 ASCII characters without spaces',
  }),
});

/**
 * The order's total in minor units.
 * @throws ApiError `invalid_request` if it is zero, or larger than JSON's readers can hold
 */
export function totalMinorOf(items: OrderRequest['items']): number {
  const total = items.reduce((sum, item) => sum + BigInt(item.quantity) * BigInt(item.unitAmountMinor), 0n);
  if (total < 1n) throw invalidRequest('body', [{ field: '/items', message: 'the total must not be zero' }]);
  if (total > BigInt(Number.MAX_SAFE_INTEGER)) {
    const message = `the total must be <= ${Number.MAX_SAFE_INTEGER}`;
    throw invalidRequest('body', [{ field: '/items', message }]);
  }
  return Number(total);
}

/** Tells apart two bodies under one idempotency key; blind to whitespace and to the order of fields. */
export function fingerprintOf(body: OrderRequest): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex');
}

/** JSON with sorted keys and without whitespace. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson((value as Record<string, unknown>)[key])}`);
  return `{${members.join(',')}}`;
}
