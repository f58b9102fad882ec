import type { OrderItem, OrderState } from '@orders/events';
import type { ColumnType, Generated } from 'kysely';

/** A column that the database fills unless told: `created_at` and its like, by the server's clock. */
type ServerTime = ColumnType<Date, Date | string | undefined, Date | string>;
type Time = ColumnType<Date, Date | string, Date | string>;
type NullableTime = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;
/** A jsonb column: read parsed, written as JSON text. */
type Json<T> = ColumnType<T, string, string>;
/** A column that belongs to a library, which is the only one to write it. */
type ReadOnly<T> = ColumnType<T, never, never>;

/** Orders as they now are; every update raises `version`. Amounts in the currency's minor unit. */
export interface OrdersTable {
  id: string;
  tenant_id: string;
  customer_id: string;
  state: OrderState;
  version: Generated<number>;
  currency: string;
  total_minor: number;
  items: Json<OrderItem[]>;
  payment_method: string;
  metadata: ColumnType<Record<string, string> | null, string | null | undefined, string | null>;
  failure_code: string | null;
  failure_attempts: number | null;
  correlation_id: string;
  created_at: ServerTime;
  updated_at: ServerTime;
}

/** The order's permanent history: one row per version. */
export interface OrderEventsTable {
  order_id: string;
  version: number;
  event_id: string;
  tenant_id: string;
  type: string;
  data: Json<Record<string, unknown>>;
  occurred_at: Time;
}

/** Requests that have been answered, so that a repetition gets the same answer. */
export interface IdempotencyKeysTable {
  tenant_id: string;
  route: string;
  key: string;
  /** Of the request's body. */
  fingerprint: string;
  order_id: string;
  created_at: ServerTime;
  expires_at: Time;
}

/** Credentials; only the key's SHA-256 is stored. */
export interface ApiKeysTable {
  id: string;
  tenant_id: string;
  name: string;
  key_hash: Buffer;
  created_at: ServerTime;
  revoked_at: NullableTime;
}

/** What operators did. */
export interface AuditLogTable {
  id: ColumnType<number, never, never>;
  at: ServerTime;
  actor: string;
  action: string;
  subject: string;
  detail: ColumnType<Record<string, unknown>, string | undefined, string>;
}

/** `DUE → LEASED → WAIT | REVIEW | CAPTURED | DECLINED | VOID`. */
export type PaymentState = 'DUE' | 'LEASED' | 'WAIT' | 'REVIEW' | 'CAPTURED' | 'DECLINED' | 'VOID';

/** One payment per order. */
export interface PaymentsTable {
  id: string;
  order_id: string;
  tenant_id: string;
  customer_id: string;
  /** Of the `order.created` that caused it. */
  event_id: string;
  correlation_id: string;
  amount_minor: number;
  currency: string;
  payment_method: string;
  state: PaymentState;
  next_at: ServerTime;
  /** Raised by every claim and by every transaction that ends a lease. */
  lease_token: Generated<number>;
  lease_until: NullableTime;
  lease_owner: string | null;
  cancel_requested: Generated<boolean>;
  /** 1, and one more with every operator's replay. */
  round: Generated<number>;
  /** Since when the outcome has been open; the payment's deadline counts from here. */
  unsettled_since: NullableTime;
  created_at: ServerTime;
  updated_at: ServerTime;
}

/** `SENT → SUCCEEDED | DECLINED`, with UNKNOWN in between. */
export type PaymentAttemptState = 'SENT' | 'UNKNOWN' | 'SUCCEEDED' | 'DECLINED';

/** One row per idempotency key that the gateway is given. */
export interface PaymentAttemptsTable {
  payment_id: string;
  n: number;
  round: Generated<number>;
  idempotency_key: string;
  amount_minor: number;
  currency: string;
  /** Of the request's body, frozen at the first send. */
  fingerprint: string;
  /** Sends allowed so far. */
  permits: Generated<number>;
  state: PaymentAttemptState;
  first_sent_at: NullableTime;
  last_sent_at: NullableTime;
  closed_at: NullableTime;
  decline_code: string | null;
  decline_kind: 'soft' | 'hard' | null;
  charge_id: string | null;
  created_at: ServerTime;
}

/** One refund per charge. */
export interface RefundsTable {
  id: string;
  payment_id: string;
  order_id: string;
  charge_id: string;
  idempotency_key: string;
  amount_minor: number;
  currency: string;
  reason: string;
  state: Generated<string>;
  permits: Generated<number>;
  next_at: ServerTime;
  lease_token: Generated<number>;
  created_at: ServerTime;
  updated_at: ServerTime;
}

/** Where the gateway's ledger and ours differ, until it is resolved. */
export interface AuditBreaksTable {
  id: string;
  kind: string;
  order_id: string;
  payment_id: string | null;
  n: number | null;
  detail: ColumnType<Record<string, unknown>, string | undefined, string>;
  opened_at: ServerTime;
  closed_at: NullableTime;
  resolution: string | null;
}

/** One row: the oldest program that may still work with this schema. */
export interface AppSchemaTable {
  id: ColumnType<boolean, never, never>;
  min_app_schema: number;
  updated_at: ServerTime;
}

/** The outbox library's table, to be read. */
export interface OutboxTable {
  xid: ReadOnly<string>;
  seq: ReadOnly<number>;
  id: ReadOnly<string>;
  bucket: ReadOnly<number>;
  topic: ReadOnly<string>;
  key: ReadOnly<string>;
  type: ReadOnly<string>;
  aggregatetype: ReadOnly<string>;
  aggregateid: ReadOnly<string>;
  payload: ReadOnly<Record<string, unknown>>;
  headers: ReadOnly<Record<string, string>>;
  created_at: ReadOnly<Date>;
  published_at: ReadOnly<Date | null>;
}

/** The consumer library's inbox, to be read. */
export interface ProcessedEventsTable {
  event_id: ReadOnly<string>;
  worker_id: ReadOnly<string>;
  processed_at: ReadOnly<Date>;
  topic: ReadOnly<string | null>;
  partition: ReadOnly<number | null>;
  offset: ReadOnly<number | null>;
}

/** The consumer library's dead letters, to be read. */
export interface DeadLetterEventsTable {
  id: ReadOnly<string>;
  event_id: ReadOnly<string | null>;
  worker_id: ReadOnly<string>;
  topic: ReadOnly<string | null>;
  partition: ReadOnly<number | null>;
  offset: ReadOnly<number | null>;
  key: ReadOnly<Buffer | null>;
  value: ReadOnly<Buffer | null>;
  headers: ReadOnly<Record<string, unknown>>;
  payload: ReadOnly<Record<string, unknown> | null>;
  reason: ReadOnly<string>;
  attempts: ReadOnly<number>;
  round: ReadOnly<number>;
  state: ReadOnly<string>;
  failed_at: ReadOnly<Date>;
}

/** Every table of the product's database that our code reads or writes through Kysely. */
export interface Database {
  orders: OrdersTable;
  order_events: OrderEventsTable;
  idempotency_keys: IdempotencyKeysTable;
  api_keys: ApiKeysTable;
  audit_log: AuditLogTable;
  payments: PaymentsTable;
  payment_attempts: PaymentAttemptsTable;
  refunds: RefundsTable;
  audit_breaks: AuditBreaksTable;
  app_schema: AppSchemaTable;
  outbox: OutboxTable;
  processed_events: ProcessedEventsTable;
  dead_letter_events: DeadLetterEventsTable;
}
