import { expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';

test('it returns the first answer, and a probe that throws has none yet', async () => {
  const answers = [
    () => null,
    () => undefined,
    () => false as const,
    () => {
      throw new Error('not yet');
    },
    () => 0,
  ];
  const probe = async () => answers.shift()?.() as number | null | undefined | false;
  expect(await waitFor('an answer', probe, { intervalMs: 1 })).toBe(0);
  expect(answers).toEqual([]);
});

test('the time-out says what was waited for, and the last reason', async () => {
  const refused = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
  await expect(
    waitFor('the service', () => Promise.reject(refused), { timeoutMs: 30, intervalMs: 1 }),
  ).rejects.toMatchObject({
    code: 'DEV_STACK_TIMEOUT',
    message: 'waited 30 ms for the service; last error: fetch failed (connect ECONNREFUSED)',
    cause: refused,
  });
  await expect(waitFor('it', async () => null, { timeoutMs: 5 })).rejects.toThrow(/^waited 5 ms for it$/);
});

test('a probe that never answers does not outwait the limit', async () => {
  const silent = () => new Promise<true>(() => undefined);
  await expect(waitFor('silence', silent, { timeoutMs: 20 })).rejects.toThrow('waited 20 ms for silence');
});
