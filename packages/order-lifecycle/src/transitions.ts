import type { Failure, OrderEventType, OrderState } from '@orders/events';

/** What somebody asks of an order. */
export type OrderCommand =
  | { readonly type: 'startPayment' }
  | { readonly type: 'markPaid' }
  | { readonly type: 'fail'; readonly failure: Failure }
  | { readonly type: 'review'; readonly failure: Failure }
  | { readonly type: 'requestCancel' }
  | { readonly type: 'cancel' }
  | { readonly type: 'requestRefund' }
  | { readonly type: 'refund'; readonly amountMinor: number }
  | { readonly type: 'partlyRefund'; readonly amountMinor: number }
  | { readonly type: 'retryPayment' };

type CommandType = OrderCommand['type'];

interface Rule {
  readonly from: readonly OrderState[];
  readonly to: OrderState;
  readonly event: OrderEventType;
}

/**
 * Every transition there is. A command in a state that its rule does not name is refused.
 * `requestRefund` from FAILED or CANCELLED is the late capture; `retryPayment` the audited operator replay.
 */
export const transitions: Readonly<Record<CommandType, Rule>> = {
  startPayment: { from: ['CREATED'], to: 'PAYMENT_PENDING', event: 'order.payment_pending.v1' },
  markPaid: { from: ['PAYMENT_PENDING', 'REVIEW'], to: 'PAID', event: 'order.paid.v1' },
  fail: { from: ['PAYMENT_PENDING', 'REVIEW'], to: 'FAILED', event: 'order.failed.v1' },
  review: {
    from: ['PAYMENT_PENDING', 'CANCEL_PENDING', 'REFUND_PENDING'],
    to: 'REVIEW',
    event: 'order.review.v1',
  },
  requestCancel: { from: ['PAYMENT_PENDING'], to: 'CANCEL_PENDING', event: 'order.cancel_requested.v1' },
  cancel: {
    from: ['CREATED', 'PAYMENT_PENDING', 'CANCEL_PENDING', 'REVIEW'],
    to: 'CANCELLED',
    event: 'order.cancelled.v1',
  },
  requestRefund: {
    from: ['PAID', 'CANCEL_PENDING', 'REVIEW', 'FAILED', 'CANCELLED'],
    to: 'REFUND_PENDING',
    event: 'order.refund_requested.v1',
  },
  refund: { from: ['REFUND_PENDING'], to: 'REFUNDED', event: 'order.refunded.v1' },
  partlyRefund: { from: ['REFUND_PENDING'], to: 'PAID', event: 'order.refunded.v1' },
  retryPayment: { from: ['FAILED'], to: 'PAYMENT_PENDING', event: 'order.payment_pending.v1' },
};

/** What a command does to an order in a given state. */
export type Decision =
  | { readonly kind: 'transition'; readonly to: OrderState; readonly eventType: OrderEventType }
  | { readonly kind: 'refused'; readonly reason: string };

/** Decides every transition; pure, and the only place that knows which state may follow which. */
export function decide(state: OrderState, command: { readonly type: CommandType }): Decision {
  const rule = transitions[command.type];
  if (!rule.from.includes(state)) {
    return { kind: 'refused', reason: `${command.type} is not possible in state ${state}` };
  }
  return { kind: 'transition', to: rule.to, eventType: rule.event };
}
