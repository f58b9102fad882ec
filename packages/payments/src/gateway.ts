/** One charge as the gateway is asked for it. The same key always comes with the same rest. */
export interface ChargeRequest {
  readonly idempotencyKey: string;
  /** The order's id: the gateway's books name it. */
  readonly reference: string;
  readonly amountMinor: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
  /** The gateway's token for card or account. Never logged. */
  readonly paymentMethod: string;
}

/** Money was taken. */
export interface Captured {
  readonly outcome: 'captured';
  readonly chargeId: string;
  readonly amountMinor: number;
  readonly currency: string;
}

/** The gateway decided against it. Soft may heal (insufficient funds), hard will not (stolen card). */
export interface Declined {
  readonly outcome: 'declined';
  readonly kind: 'soft' | 'hard';
  /** Such as `insufficient_funds`. */
  readonly code: string;
}

/**
 * The request certainly had no effect and never will: it never reached the gateway, or was turned away before it
 * was looked at. When in doubt it is {@link Unknown}.
 */
export interface NotExecuted {
  readonly outcome: 'not-executed';
  readonly reason: string;
}

/** It may have been executed, be executing, or still be on its way. */
export interface Unknown {
  readonly outcome: 'unknown';
  readonly reason: string;
}

/** What came of a charge. */
export type GatewayOutcome = Captured | Declined | NotExecuted | Unknown;

/** What the gateway knows about a key. `not-found` proves nothing: the request may still be under way. */
export type LookupOutcome = Captured | Declined | { readonly outcome: 'not-found' } | Unknown;

/** What an adapter promises about its gateway; the protocol leans on it. */
export interface GatewayCapabilities {
  /** Whether a repeated key is answered with the first decline instead of being tried afresh. */
  readonly replaysDeclines: boolean;
  /** No call lasts longer; far shorter than a lease. */
  readonly callDurationMaxMs: number;
}

/**
 * A payment gateway.
 *
 * Guarantee of the gateway behind it: within the lifetime of a key, requests with that key capture at most once.
 * Obligations of the adapter: it sends a request at most once per call, never retries by itself, ends every call
 * within `callDurationMaxMs`, reports `not-executed` only when that is certain, takes no answer about another
 * reference for one about this, and does not throw for anything the network or the gateway may do.
 */
export interface Gateway {
  readonly capabilities: GatewayCapabilities;
  /** Asks for a charge. */
  charge(request: ChargeRequest): Promise<GatewayOutcome>;
  /** Asks what became of a request's key; changes nothing. */
  lookup(request: Pick<ChargeRequest, 'idempotencyKey' | 'reference'>): Promise<LookupOutcome>;
}
