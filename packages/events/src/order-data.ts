import { type Static, type TProperties, Type } from 'typebox';

/** All states of an order; which may follow which is decided in `@orders/order-lifecycle`. */
export const orderStates = [
  'CREATED',
  'PAYMENT_PENDING',
  'PAID',
  'FAILED',
  'REVIEW',
  'CANCEL_PENDING',
  'CANCELLED',
  'REFUND_PENDING',
  'REFUNDED',
] as const;

/** A state of an order. */
export type OrderState = (typeof orderStates)[number];

/** Money in the currency's smallest unit; a JSON integer that every reader can hold without loss. */
const AmountMinor = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Currency = Type.String({ pattern: '^[A-Z]{3}$' });

/** One position of an order. */
export const OrderItem = Type.Object({
  sku: Type.String({ minLength: 1 }),
  name: Type.String({ minLength: 1 }),
  quantity: Type.Integer({ minimum: 1 }),
  unitAmountMinor: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
/** One position of an order. */
export type OrderItem = Static<typeof OrderItem>;

/** Why an order is FAILED or in REVIEW: the last decline's code and how many attempts were made. */
export const Failure = Type.Object({
  code: Type.String({ minLength: 1 }),
  attempts: Type.Integer({ minimum: 0 }),
});
/** Why an order is FAILED or in REVIEW. */
export type Failure = Static<typeof Failure>;

/**
 * What every event's data carries, and then its own. Unknown fields are allowed: a newer producer may add some
 * within `.v1`; a change that an old reader would misread needs `.v2`.
 */
const orderData = <S extends readonly OrderState[], P extends TProperties>(states: readonly [...S], own: P) =>
  Type.Object({
    orderId: Type.String({ format: 'uuid' }),
    version: Type.Integer({ minimum: 1 }),
    state: Type.Unsafe<S[number]>(Type.Enum([...states])),
    ...own,
  });

const amount = { amountMinor: AmountMinor, currency: Currency };

/** Schema of the data of each event type. */
export const orderEventData = {
  'order.created.v1': orderData(['CREATED'], {
    customerId: Type.String({ minLength: 1 }),
    currency: Currency,
    totalMinor: AmountMinor,
    paymentMethod: Type.String({ minLength: 1 }),
    items: Type.Array(OrderItem, { minItems: 1 }),
    metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
  }),
  'order.payment_pending.v1': orderData(['PAYMENT_PENDING'], {}),
  'order.paid.v1': orderData(['PAID'], amount),
  'order.failed.v1': orderData(['FAILED'], { failure: Failure }),
  'order.review.v1': orderData(['REVIEW'], { failure: Failure }),
  'order.cancel_requested.v1': orderData(['CANCEL_PENDING'], {}),
  'order.cancelled.v1': orderData(['CANCELLED'], {}),
  'order.refund_requested.v1': orderData(['REFUND_PENDING'], amount),
  // A partial refund returns the order to PAID.
  'order.refunded.v1': orderData(['REFUNDED', 'PAID'], amount),
} as const;

/** The name of an event type, major version included. */
export type OrderEventType = keyof typeof orderEventData;

/** All event types. */
export const orderEventTypes = Object.keys(orderEventData) as OrderEventType[];

/** The data of one event type. */
export type OrderEventData<T extends OrderEventType = OrderEventType> = Static<(typeof orderEventData)[T]>;
