export { type Acceptance, acceptCreatedOrders, type PaymentCause } from './accept.ts';
export type { AttemptOutcome, BreakKind, Decision, RefundReason, Rules, Situation } from './decision.ts';
export { PaymentsError, type PaymentsErrorCode } from './errors.ts';
export { createPaymentExecutor, type ExecutorDeps, type PaymentExecutor } from './executor.ts';
export type {
  Captured,
  ChargeRequest,
  Declined,
  Gateway,
  GatewayCapabilities,
  GatewayOutcome,
  LookupOutcome,
  NotExecuted,
  Unknown,
} from './gateway.ts';
export { createHttpGateway } from './http-gateway.ts';
export type { Logger } from './logger.ts';
export { type PaymentOptions, paymentOptions } from './options.ts';
export { paymentWorkerId } from './payment-writes.ts';
