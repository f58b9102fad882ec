import { describe, expect, it, vi } from 'vitest';
import { createAuthenticator, type Identity } from '../src/authentication.ts';

const acme: Identity = { tenantId: 'acme', keyId: 'k1' };

function authenticator(find: (key: string) => Promise<Identity | null>) {
  const clock = { nowMs: 0 };
  const findApiKey = vi.fn(find);
  const authenticate = createAuthenticator({ findApiKey, rememberMs: 1000, nowMs: () => clock.nowMs });
  return { authenticate, findApiKey, clock };
}

describe('authentication', () => {
  it.each([
    undefined,
    '',
    'ord_key',
    'Basic abc',
    'Bearer',
    'Bearer ',
    'Bearer a b',
    'Bearer ä',
    `Bearer ${'x'.repeat(300)}`,
  ])('refuses %j without a look-up', async (header) => {
    const { authenticate, findApiKey } = authenticator(async () => acme);
    await expect(authenticate(header)).rejects.toMatchObject({
      code: 'unauthorized',
      headers: { 'www-authenticate': expect.stringMatching(/^Bearer/) },
    });
    expect(findApiKey).not.toHaveBeenCalled();
  });

  it('remembers a known key for its time and no longer, so that a revocation takes effect', async () => {
    let revoked = false;
    const { authenticate, findApiKey, clock } = authenticator(async () => (revoked ? null : acme));
    expect(await authenticate('Bearer ord_1')).toEqual(acme);
    revoked = true;
    clock.nowMs = 999;
    expect(await authenticate('bearer ord_1')).toEqual(acme);
    expect(findApiKey).toHaveBeenCalledTimes(1);
    clock.nowMs = 1000;
    await expect(authenticate('Bearer ord_1')).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('does not remember unknown keys: a key made afterwards works at once', async () => {
    let made = false;
    const { authenticate } = authenticator(async () => (made ? acme : null));
    await expect(authenticate('Bearer ord_1')).rejects.toMatchObject({ code: 'unauthorized' });
    made = true;
    expect(await authenticate('Bearer ord_1')).toEqual(acme);
  });

  it('asks once for requests that come together, and asks again after a failure', async () => {
    const answer = Promise.withResolvers<Identity>();
    const { authenticate, findApiKey } = authenticator(() => answer.promise);
    const together = Promise.allSettled([1, 2, 3].map(() => authenticate('Bearer ord_1')));
    answer.reject(new Error('no database'));
    expect((await together).map((one) => one.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(findApiKey).toHaveBeenCalledTimes(1);
    findApiKey.mockResolvedValue(acme);
    expect(await authenticate('Bearer ord_1')).toEqual(acme);
  });

  it('remembers a bounded number of keys, each its own tenant', async () => {
    const { authenticate, findApiKey } = authenticator(async (key) => ({ tenantId: key, keyId: key }));
    for (let i = 0; i <= 1000; i++) {
      expect(await authenticate(`Bearer k${i}`)).toEqual({ tenantId: `k${i}`, keyId: `k${i}` });
    }
    findApiKey.mockClear();
    await authenticate('Bearer k1000');
    expect(findApiKey).not.toHaveBeenCalled();
    await authenticate('Bearer k0');
    expect(findApiKey).toHaveBeenCalledTimes(1);
  });
});
