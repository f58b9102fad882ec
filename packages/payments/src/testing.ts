import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ChargeRequest, Gateway } from './gateway.ts';

/** How the contract makes a gateway behave. `approve` and the declines hold for every request from then on. */
export type GatewayBehaviour =
  | 'approve'
  | 'decline-soft'
  | 'decline-hard'
  /** Captures, and the answer never comes. */
  | 'capture-then-silence'
  /** Captures, and answers with an error of its own. */
  | 'capture-then-error'
  /** Turns requests away without looking at them. */
  | 'turn-away'
  /** Cannot be connected to. */
  | 'unreachable';

/** A gateway under test, how to make it behave, and its own books. */
export interface GatewayUnderTest {
  readonly gateway: Gateway;
  behave(behaviour: GatewayBehaviour): Promise<void>;
  /** How many charges were captured for a reference, by the gateway's own account. */
  capturesOf(reference: string): Promise<number>;
}

/** What every adapter of the {@link Gateway} port must do; `subject` is called in each test. */
export function gatewayContract(name: string, subject: () => GatewayUnderTest): void {
  const newRequest = (): ChargeRequest => ({
    idempotencyKey: `${randomUUID()}:1`,
    reference: randomUUID(),
    amountMinor: 1250,
    currency: 'EUR',
    paymentMethod: 'tok_visa',
  });

  describe(`the gateway contract: ${name}`, () => {
    it('a capture says which charge, amount and currency; the key again is the same charge', async () => {
      const { gateway, behave, capturesOf } = subject();
      await behave('approve');
      const request = newRequest();
      const first = await gateway.charge(request);
      expect(first).toMatchObject({ outcome: 'captured', amountMinor: 1250, currency: 'EUR' });
      expect(await gateway.charge(request)).toEqual(first);
      expect(await gateway.lookup(request)).toEqual(first);
      expect(await capturesOf(request.reference)).toBe(1);
    });

    it.each(['soft', 'hard'] as const)('a %s decline says so with its code', async (kind) => {
      const { gateway, behave, capturesOf } = subject();
      await behave(`decline-${kind}`);
      const request = newRequest();
      const declined = await gateway.charge(request);
      expect(declined).toEqual({ outcome: 'declined', kind, code: expect.stringMatching(/./) });
      if (gateway.capabilities.replaysDeclines) {
        await behave('approve');
        expect(await gateway.charge(request)).toEqual(declined);
        expect(await gateway.lookup(request)).toEqual(declined);
        expect(await capturesOf(request.reference)).toBe(0);
      }
    });

    it.each(['capture-then-silence', 'capture-then-error'] as const)(
      '%s is unknown, never a failure, and the look-up finds the charge',
      async (behaviour) => {
        const { gateway, behave, capturesOf } = subject();
        await behave(behaviour);
        const request = newRequest();
        expect(await gateway.charge(request)).toMatchObject({ outcome: 'unknown' });
        await behave('approve');
        expect(await gateway.lookup(request)).toMatchObject({ outcome: 'captured' });
        expect(await gateway.charge(request)).toMatchObject({ outcome: 'captured' });
        expect(await capturesOf(request.reference)).toBe(1);
      },
    );

    it.each(['turn-away', 'unreachable'] as const)('%s is certainly not executed', async (behaviour) => {
      const { gateway, behave, capturesOf } = subject();
      await behave(behaviour);
      const request = newRequest();
      expect(await gateway.charge(request)).toMatchObject({ outcome: 'not-executed' });
      await behave('approve');
      expect(await capturesOf(request.reference)).toBe(0);
      expect(await gateway.lookup(request)).toEqual({ outcome: 'not-found' });
    });

    it('a look-up that gets no answer is unknown, not "not found"', async () => {
      const { gateway, behave } = subject();
      await behave('unreachable');
      expect(await gateway.lookup(newRequest())).toMatchObject({ outcome: 'unknown' });
    });

    it('the key with another body is refused and not executed, and never called a decline', async () => {
      const { gateway, behave, capturesOf } = subject();
      await behave('approve');
      const request = newRequest();
      await gateway.charge(request);
      const changed = await gateway.charge({ ...request, amountMinor: 1 });
      expect(changed.outcome).toMatch(/unknown|not-executed/);
      expect(await capturesOf(request.reference)).toBe(1);
    });
  });
}
