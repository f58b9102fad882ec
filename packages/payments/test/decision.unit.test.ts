import { decide as decideTransition } from '@orders/order-lifecycle';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOpen, isOpenOrWon } from '../src/attempt.ts';
import { type AttemptOutcome, type Decision, decide, type Rules, type Situation } from '../src/decision.ts';

const rules: Rules = {
  attemptsMax: 3,
  paymentDeadlineMs: 60_000,
  replaysDeclines: true,
  backoffBaseMs: 100,
  backoffMaxMs: 5_000,
};
const attempt = { state: 'SENT', chargeId: null, permits: 1, amountMinor: 500, currency: 'EUR' } as const;
const first: Situation = {
  attempt,
  otherOpenOrWon: false,
  attemptsInRound: 1,
  order: 'PAYMENT_PENDING',
  cancelRequested: false,
  tokenIsCurrent: true,
  chargeHasRefund: false,
  inReview: false,
  leaseHasExpired: false,
  unsettledMs: 0,
};
const captured = { outcome: 'captured', chargeId: 'ch_1', amountMinor: 500, currency: 'EUR' } as const;
const soft = { outcome: 'declined', kind: 'soft', code: 'insufficient_funds' } as const;
const hard = { outcome: 'declined', kind: 'hard', code: 'stolen_card' } as const;
const notExecuted = { outcome: 'not-executed', reason: 'rate limited' } as const;
const unknown = { outcome: 'unknown', reason: 'no answer' } as const;
const expired = { outcome: 'lease-expired' } as const;
const unknownAttempt = { ...attempt, state: 'UNKNOWN', permits: 2 } as const;
const lateOrder = { order: 'FAILED', attempt: { ...attempt, state: 'DECLINED' } } as const;

describe('the table of outcomes', () => {
  it.each<[string, Partial<Situation>, AttemptOutcome, Partial<Decision>]>([
    ['a capture pays the order', {}, captured, { write: 'captured', order: ['markPaid'], refund: null }],
    [
      'so does one found in REVIEW',
      { order: 'REVIEW' },
      captured,
      { write: 'captured', order: ['markPaid'] },
    ],
    ['a stale worker’s too', { tokenIsCurrent: false }, captured, { write: 'captured', order: ['markPaid'] }],
    [
      'and one of an attempt that was declined',
      { attempt: lateOrder.attempt },
      captured,
      { write: 'captured' },
    ],
    [
      'told twice it changes nothing',
      { attempt: { ...attempt, state: 'SUCCEEDED', chargeId: 'ch_1' }, order: 'PAID' },
      captured,
      { write: 'nothing', because: 'already-recorded' },
    ],
    [
      'a second charge under the same key is refunded',
      { attempt: { ...attempt, state: 'SUCCEEDED', chargeId: 'ch_0' }, order: 'PAID' },
      captured,
      { write: 'stray-capture', refund: 'second_charge', endsInReview: false },
    ],
    [
      'one beside another attempt, too',
      { otherOpenOrWon: true, attempt: lateOrder.attempt },
      captured,
      { write: 'stray-capture', endsInReview: false },
    ],
    [
      'one of an open attempt of an order that is paid already: nobody is to ask about it for ever',
      { order: 'PAID' },
      captured,
      { write: 'stray-capture', endsInReview: true },
    ],
    [
      'a charge that is being refunded is never adopted',
      { chargeHasRefund: true, attempt: lateOrder.attempt },
      captured,
      { write: 'nothing', because: 'charge-has-refund' },
    ],
    [
      'that of an open attempt goes to a person',
      { chargeHasRefund: true },
      captured,
      { write: 'review', opensBreak: 'charge_refunded' },
    ],
    [
      'once',
      { chargeHasRefund: true, inReview: true },
      captured,
      { write: 'nothing', because: 'charge-has-refund' },
    ],
    [
      'a capture after FAILED is refunded',
      lateOrder,
      captured,
      { write: 'captured', order: ['requestRefund'], refund: 'late_capture', opensBreak: 'late_capture' },
    ],
    [
      'a capture after CANCELLED, too',
      { ...lateOrder, order: 'CANCELLED' },
      captured,
      { write: 'captured', order: ['requestRefund'], refund: 'late_capture' },
    ],
    [
      'a capture after a cancel was asked for is refunded',
      { order: 'CANCEL_PENDING', cancelRequested: true },
      captured,
      { write: 'captured', order: ['requestRefund'], refund: 'cancelled', opensBreak: null },
    ],
    [
      'a wrong amount goes to a person',
      {},
      { ...captured, amountMinor: 5 },
      { write: 'captured', order: ['review'], opensBreak: 'amount_mismatch' },
    ],

    ['a soft decline is tried again later', {}, soft, { write: 'declined-retry', waitCeilingMs: 100 }],
    ['the wait doubles', { attemptsInRound: 2 }, soft, { write: 'declined-retry', waitCeilingMs: 200 }],
    ['the third is final', { attemptsInRound: 3 }, soft, { write: 'declined-failed', deadLetter: true }],
    ['a hard decline at once, no dead letter', {}, hard, { write: 'declined-failed', deadLetter: false }],
    [
      'a decline after a cancel was asked for ends it',
      { order: 'CANCEL_PENDING', cancelRequested: true },
      soft,
      { write: 'declined-void' },
    ],
    [
      'a stale decline is nothing',
      { tokenIsCurrent: false },
      soft,
      { write: 'nothing', because: 'stale-token' },
    ],
    [
      'a decline of a closed attempt is nothing',
      { attempt: { ...attempt, state: 'DECLINED' } },
      soft,
      { write: 'nothing', because: 'attempt-closed' },
    ],

    ['turned away: same attempt, no doubt', {}, notExecuted, { write: 'wait', attempt: 'SENT' }],
    [
      'turned away after a doubt: the doubt stays',
      { attempt: unknownAttempt },
      notExecuted,
      { attempt: 'UNKNOWN' },
    ],
    ['unknown: same attempt', {}, unknown, { write: 'wait', attempt: 'UNKNOWN', waitCeilingMs: 100 }],
    ['as long again', { unsettledMs: 800 }, unknown, { write: 'wait', waitCeilingMs: 800 }],
    ['up to the maximum', { unsettledMs: 20_000 }, unknown, { write: 'wait', waitCeilingMs: 5_000 }],
    ['and to the deadline', { unsettledMs: 59_900 }, unknown, { write: 'wait', waitCeilingMs: 100 }],
    [
      'unknown at the deadline: REVIEW',
      { unsettledMs: 60_000 },
      unknown,
      { write: 'review', attempt: 'UNKNOWN' },
    ],
    [
      'turned away at the deadline: REVIEW',
      { unsettledMs: 60_000 },
      notExecuted,
      { write: 'review', attempt: 'SENT' },
    ],
    [
      'the owner is gone: ask at once',
      { leaseHasExpired: true },
      expired,
      { write: 'wait', waitCeilingMs: 0 },
    ],
    [
      'even past the deadline, for nobody has asked yet',
      { leaseHasExpired: true, unsettledMs: 99_999 },
      expired,
      { write: 'wait', attempt: 'UNKNOWN' },
    ],
    ['the owner came back', {}, expired, { write: 'nothing', because: 'lease-renewed' }],
  ])('%s', (_, change, outcome, expected) => {
    expect(decide({ ...first, ...change }, outcome, rules)).toMatchObject(expected);
  });

  it('a gateway that forgets its declines: a decline is certain only when nothing else was sent', () => {
    const forgetful = { ...rules, replaysDeclines: false };
    expect(decide(first, soft, forgetful)).toMatchObject({ write: 'declined-retry' });
    const sentTwice = { ...first, attempt: unknownAttempt };
    expect(decide(sentTwice, soft, forgetful)).toMatchObject({ write: 'wait', attempt: 'UNKNOWN' });
    expect(decide(sentTwice, soft, rules)).toMatchObject({ write: 'declined-retry' });
  });
});

const situations: fc.Arbitrary<Situation> = fc
  .record({
    attempt: fc.record({
      state: fc.constantFrom('SENT', 'UNKNOWN', 'SUCCEEDED', 'DECLINED'),
      chargeId: fc.constantFrom(null, 'ch_1', 'ch_2'),
      permits: fc.integer({ min: 1, max: 4 }),
      amountMinor: fc.constantFrom(500, 501),
      currency: fc.constantFrom('EUR', 'USD'),
    }),
    otherOpenOrWon: fc.boolean(),
    attemptsInRound: fc.integer({ min: 1, max: 5 }),
    order: fc.constantFrom(
      'CREATED',
      'PAYMENT_PENDING',
      'PAID',
      'FAILED',
      'REVIEW',
      'CANCEL_PENDING',
      'CANCELLED',
      'REFUND_PENDING',
      'REFUNDED',
    ),
    cancelRequested: fc.boolean(),
    tokenIsCurrent: fc.boolean(),
    chargeHasRefund: fc.boolean(),
    inReview: fc.boolean(),
    leaseHasExpired: fc.boolean(),
    unsettledMs: fc.integer({ min: 0, max: 120_000 }),
  })
  .map((situation) => situation as Situation)
  // What the partial unique index forbids.
  .filter(({ attempt, otherOpenOrWon }) => !(otherOpenOrWon && isOpenOrWon(attempt.state)));
const outcomes = fc.constantFrom<AttemptOutcome>(captured, soft, hard, notExecuted, unknown, expired);
const rulesets = fc.record({
  attemptsMax: fc.integer({ min: 1, max: 5 }),
  paymentDeadlineMs: fc.integer({ min: 1, max: 100_000 }),
  replaysDeclines: fc.boolean(),
  backoffBaseMs: fc.integer({ min: 1, max: 1_000 }),
  backoffMaxMs: fc.integer({ min: 1, max: 10_000 }),
});

/** Calls `property` with every kind of situation; runs are cheap. */
const always = (
  property: (situation: Situation, outcome: AttemptOutcome, decision: Decision, rules: Rules) => void,
) =>
  fc.assert(
    fc.property(situations, outcomes, rulesets, (situation, outcome, ruleset) => {
      property(situation, outcome, decide(situation, outcome, ruleset), ruleset);
    }),
    { numRuns: 5_000 },
  );

describe('in every situation', () => {
  it('money that was captured is recorded, refunded or known already, whoever brings it', () => {
    always((situation, outcome, decision) => {
      if (outcome.outcome !== 'captured') return;
      if (decision.write === 'nothing' || decision.write === 'review') {
        const known =
          situation.attempt.state === 'SUCCEEDED' && situation.attempt.chargeId === outcome.chargeId;
        expect(known || situation.chargeHasRefund).toBe(true);
      } else {
        expect(['captured', 'stray-capture']).toContain(decision.write);
      }
    });
  });

  it('only a capture makes an attempt win, and only a decline closes one', () => {
    always((_, outcome, decision) => {
      if (decision.write.includes('captur')) expect(outcome.outcome).toBe('captured');
      if (decision.write.startsWith('declined')) expect(outcome.outcome).toBe('declined');
    });
  });

  it('an order FAILED or CANCELLED by a decline leaves no attempt open', () => {
    always((situation, _, decision) => {
      if (decision.write !== 'declined-failed' && decision.write !== 'declined-void') return;
      expect(isOpen(situation.attempt.state)).toBe(true);
      expect(situation.otherOpenOrWon).toBe(false);
    });
  });

  it('whatever is not a capture needs the current token and an open attempt', () => {
    always((situation, outcome, decision) => {
      if (outcome.outcome === 'captured' || decision.write === 'nothing') return;
      expect(situation.tokenIsCurrent && isOpen(situation.attempt.state)).toBe(true);
    });
  });

  it('nothing but the rules’ number of soft declines makes a dead letter', () => {
    always((situation, outcome, decision, { attemptsMax }) => {
      if (decision.write !== 'declined-failed' || !decision.deadLetter) return;
      expect(outcome).toEqual(soft);
      expect(situation.attemptsInRound).toBeGreaterThanOrEqual(attemptsMax);
    });
  });

  it('a wait is bounded by the maximum, and an open outcome ends at its deadline', () => {
    always((situation, outcome, decision, ruleset) => {
      if (decision.write === 'wait' && outcome.outcome !== 'lease-expired') {
        expect(decision.waitCeilingMs).toBeLessThanOrEqual(ruleset.backoffMaxMs);
        expect(situation.unsettledMs + decision.waitCeilingMs).toBeLessThanOrEqual(ruleset.paymentDeadlineMs);
      }
      if (decision.write === 'review' && decision.opensBreak === 'outcome_unknown') {
        expect(situation.unsettledMs).toBeGreaterThanOrEqual(ruleset.paymentDeadlineMs);
      }
    });
  });

  it('an open attempt about which the gateway has spoken for good is never left to be asked about again', () => {
    always((situation, outcome, decision) => {
      if (outcome.outcome !== 'captured' || !isOpen(situation.attempt.state) || situation.inReview) return;
      const ends =
        decision.write === 'captured' ||
        decision.write === 'review' ||
        (decision.write === 'stray-capture' && decision.endsInReview);
      expect(ends).toBe(true);
    });
  });

  it('the order’s state machine allows what a capture asks of the order', () => {
    always((situation, _, decision) => {
      if (decision.write !== 'captured') return;
      let state = situation.order;
      for (const type of decision.order) {
        const step = decideTransition(state, { type });
        // In REVIEW already: the break says what is new.
        if (state === 'REVIEW' && type === 'review') continue;
        expect(step).toMatchObject({ kind: 'transition' });
        if (step.kind === 'transition') state = step.to;
      }
      expect(['PAID', 'REFUND_PENDING', 'REVIEW']).toContain(state);
      expect(state === 'REFUND_PENDING').toBe(decision.refund !== null);
    });
  });
});
