import { sql } from 'kysely';
import { expand } from './expand-contract.ts';

const orders = sql`
  CREATE TABLE orders (
    id               uuid PRIMARY KEY,
    tenant_id        text NOT NULL,
    customer_id      text NOT NULL,
    state            varchar(32) NOT NULL,
    version          integer NOT NULL DEFAULT 1 CHECK (version > 0),
    currency         varchar(3) NOT NULL,
    total_minor      bigint NOT NULL CHECK (total_minor > 0),
    items            jsonb NOT NULL,
    payment_method   text NOT NULL,
    metadata         jsonb,
    failure_code     text,
    failure_attempts integer,
    correlation_id   text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;

// For the sweeper: orders whose event never led to a payment, or whose capture never reached them.
const ordersUnsettled = sql`
  CREATE INDEX orders_unsettled ON orders (created_at)
    WHERE state IN ('CREATED', 'PAYMENT_PENDING', 'CANCEL_PENDING')`;

const orderEvents = sql`
  CREATE TABLE order_events (
    order_id    uuid NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    event_id    uuid NOT NULL UNIQUE,
    tenant_id   text NOT NULL,
    type        text NOT NULL,
    data        jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, version)
  )`;

const idempotencyKeys = sql`
  CREATE TABLE idempotency_keys (
    tenant_id   text NOT NULL,
    route       text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    order_id    uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, route, key)
  )`;
const idempotencyKeysExpiry = sql`CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at)`;

const apiKeys = sql`
  CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    tenant_id  text NOT NULL,
    name       text NOT NULL,
    key_hash   bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
  )`;

const auditLog = sql`
  CREATE TABLE audit_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
  )`;

const payments = sql`
  CREATE TABLE payments (
    id               uuid PRIMARY KEY,
    order_id         uuid NOT NULL UNIQUE,
    tenant_id        text NOT NULL,
    customer_id      text NOT NULL,
    event_id         text NOT NULL,
    correlation_id   text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    currency         varchar(3) NOT NULL,
    payment_method   text NOT NULL,
    state            varchar(32) NOT NULL,
    next_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_token      bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    lease_owner      text,
    cancel_requested boolean NOT NULL DEFAULT false,
    round            integer NOT NULL DEFAULT 1,
    unsettled_since  timestamptz,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;
// By tenant first: a claim takes the tenants in turn, so that none waits behind another's backlog.
const paymentsDue = sql`
  CREATE INDEX payments_due ON payments (tenant_id, next_at) WHERE state IN ('DUE', 'WAIT')`;
const paymentsLeased = sql`CREATE INDEX payments_leased ON payments (lease_until) WHERE state = 'LEASED'`;

const paymentAttempts = sql`
  CREATE TABLE payment_attempts (
    payment_id      uuid NOT NULL,
    n               integer NOT NULL CHECK (n > 0),
    round           integer NOT NULL DEFAULT 1,
    idempotency_key text NOT NULL UNIQUE,
    amount_minor    bigint NOT NULL CHECK (amount_minor > 0),
    currency        varchar(3) NOT NULL,
    fingerprint     text NOT NULL,
    permits         integer NOT NULL DEFAULT 0,
    state           varchar(32) NOT NULL,
    first_sent_at   timestamptz,
    last_sent_at    timestamptz,
    closed_at       timestamptz,
    decline_code    text,
    decline_kind    varchar(8),
    charge_id       text UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payment_id, n)
  )`;

// No second attempt while one is open or has won. Its partner is the claim's own "open one only if none is open".
const oneOpenAttempt = sql`
  CREATE UNIQUE INDEX payment_attempts_one_open ON payment_attempts (payment_id)
    WHERE state IN ('SENT', 'UNKNOWN', 'SUCCEEDED')`;

const refunds = sql`
  CREATE TABLE refunds (
    id              uuid PRIMARY KEY,
    payment_id      uuid NOT NULL,
    order_id        uuid NOT NULL,
    charge_id       text NOT NULL UNIQUE,
    idempotency_key text NOT NULL UNIQUE,
    amount_minor    bigint NOT NULL CHECK (amount_minor > 0),
    currency        varchar(3) NOT NULL,
    reason          text NOT NULL,
    state           varchar(32) NOT NULL DEFAULT 'DUE',
    permits         integer NOT NULL DEFAULT 0,
    next_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_token     bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;

const auditBreaks = sql`
  CREATE TABLE audit_breaks (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    order_id   uuid NOT NULL,
    payment_id uuid,
    n          integer,
    detail     jsonb NOT NULL DEFAULT '{}',
    opened_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at  timestamptz,
    resolution text
  )`;

// One row, by its key. See `assertSchemaFits`.
const appSchema = sql`
  CREATE TABLE app_schema (
    id             boolean PRIMARY KEY DEFAULT true CHECK (id),
    min_app_schema integer NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;
const firstAppSchema = sql`INSERT INTO app_schema (min_app_schema) VALUES (1)`;

/** Orders, their history, the API's keys, payments, and the schema's own record. */
export const ordersAndPayments = expand([
  orders,
  ordersUnsettled,
  orderEvents,
  idempotencyKeys,
  idempotencyKeysExpiry,
  apiKeys,
  auditLog,
  payments,
  paymentsDue,
  paymentsLeased,
  paymentAttempts,
  oneOpenAttempt,
  refunds,
  auditBreaks,
  appSchema,
  firstAppSchema,
]);
