import { orderStates } from '@orders/events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type OrderCommand, transitions } from '../src/index.ts';

const commandTypes = Object.keys(transitions) as OrderCommand['type'][];
const allowed = commandTypes.flatMap((type) => transitions[type].from.map((from) => [from, type] as const));

describe('the transition table', () => {
  it('allows exactly the transitions of the state diagram', () => {
    expect(
      allowed.map(([from, type]) => `${from} --${type}--> ${transitions[type].to}`),
    ).toMatchInlineSnapshot(`
      [
        "CREATED --startPayment--> PAYMENT_PENDING",
        "PAYMENT_PENDING --markPaid--> PAID",
        "REVIEW --markPaid--> PAID",
        "PAYMENT_PENDING --fail--> FAILED",
        "REVIEW --fail--> FAILED",
        "PAYMENT_PENDING --review--> REVIEW",
        "CANCEL_PENDING --review--> REVIEW",
        "REFUND_PENDING --review--> REVIEW",
        "PAYMENT_PENDING --requestCancel--> CANCEL_PENDING",
        "CREATED --cancel--> CANCELLED",
        "PAYMENT_PENDING --cancel--> CANCELLED",
        "CANCEL_PENDING --cancel--> CANCELLED",
        "REVIEW --cancel--> CANCELLED",
        "PAID --requestRefund--> REFUND_PENDING",
        "CANCEL_PENDING --requestRefund--> REFUND_PENDING",
        "REVIEW --requestRefund--> REFUND_PENDING",
        "FAILED --requestRefund--> REFUND_PENDING",
        "CANCELLED --requestRefund--> REFUND_PENDING",
        "REFUND_PENDING --refund--> REFUNDED",
        "REFUND_PENDING --partlyRefund--> PAID",
        "FAILED --retryPayment--> PAYMENT_PENDING",
      ]
    `);
  });

  it('refuses everything else and says why', () => {
    for (const state of orderStates) {
      for (const type of commandTypes) {
        if (transitions[type].from.includes(state)) continue;
        expect(decide(state, { type })).toEqual({
          kind: 'refused',
          reason: `${type} is not possible in state ${state}`,
        });
      }
    }
  });

  it('leaves PAID, FAILED, CANCELLED and REFUNDED only by a refund or an operator replay', () => {
    const leaving = allowed.filter(([from]) => ['PAID', 'FAILED', 'CANCELLED', 'REFUNDED'].includes(from));
    expect(new Set(leaving.map(([, type]) => type))).toEqual(new Set(['requestRefund', 'retryPayment']));
  });

  it('has no state that cannot be reached, and no way back to CREATED', () => {
    const walk = fc.array(fc.constantFrom(...commandTypes), { maxLength: 40 });
    const seen = new Set<string>(['CREATED']);
    fc.assert(
      fc.property(walk, (commands) => {
        let state: (typeof orderStates)[number] = 'CREATED';
        for (const type of commands) {
          const decision = decide(state, { type });
          if (decision.kind === 'refused') continue;
          expect(decision.to).not.toBe('CREATED');
          state = decision.to;
          seen.add(state);
        }
      }),
      { numRuns: 2000 },
    );
    expect(seen).toEqual(new Set(orderStates));
  });
});
