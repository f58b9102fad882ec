import { createHash } from 'node:crypto';
import { ApiError } from './errors.ts';

/** Whom an API key belongs to. */
export interface Identity {
  readonly tenantId: string;
  readonly keyId: string;
}

/** Known keys are remembered, by their hash only; the longest remembered goes first. */
const rememberedMax = 1000;

const bearer = /^Bearer ([\x21-\x7e]{1,256})$/i;

/**
 * Makes the check of the `Authorization` header.
 *
 * Keys are looked up by their SHA-256, so no comparison tells a guesser how close it was. A known key is remembered
 * for `rememberMs`: a revocation takes effect within that time. Unknown keys are not remembered: a new key works at
 * once, and guesses push nothing out.
 */
export function createAuthenticator(deps: {
  findApiKey: (key: string) => Promise<Identity | null>;
  rememberMs: number;
  nowMs?: () => number;
}): (authorization: string | undefined) => Promise<Identity> {
  const { findApiKey, rememberMs, nowMs = () => performance.now() } = deps;
  const remembered = new Map<string, { identity: Identity; untilMs: number }>();
  const lookups = new Map<string, Promise<Identity | null>>();

  function remember(hash: string, identity: Identity, untilMs: number): void {
    remembered.delete(hash);
    if (remembered.size >= rememberedMax) remembered.delete(remembered.keys().next().value as string);
    remembered.set(hash, { identity, untilMs });
  }

  async function lookUp(hash: string, key: string): Promise<Identity | null> {
    // Counted from before the question: the answer may be older than its arrival.
    const untilMs = nowMs() + rememberMs;
    const identity = await findApiKey(key);
    if (identity === null) remembered.delete(hash);
    else remember(hash, identity, untilMs);
    return identity;
  }

  return async function authenticate(authorization) {
    const key = bearer.exec(authorization ?? '')?.[1];
    if (key === undefined) throw unauthorized('send the header Authorization: Bearer <API key>');
    const hash = createHash('sha256').update(key).digest('hex');
    const known = remembered.get(hash);
    if (known !== undefined && nowMs() < known.untilMs) return known.identity;

    // Requests that come together with the same key share one look-up.
    let lookup = lookups.get(hash);
    if (lookup === undefined) {
      lookup = lookUp(hash, key).finally(() => lookups.delete(hash));
      lookups.set(hash, lookup);
    }
    const identity = await lookup;
    if (identity === null) throw unauthorized('the API key is unknown or has been revoked');
    return identity;
  };
}

const unauthorized = (detail: string) =>
  new ApiError('unauthorized', { detail, headers: { 'www-authenticate': 'Bearer realm="orders"' } });
