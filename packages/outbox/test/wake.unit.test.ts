import { expect, it, vi } from 'vitest';
import { createOutbox } from '../src/index.ts';

function fakePool() {
  const sent: unknown[][] = [];
  const answers: PromiseWithResolvers<{ rows: []; rowCount: number }>[] = [];
  const query = (text: string, values: unknown[] = []) => {
    sent.push([text, ...values]);
    const answer = Promise.withResolvers<{ rows: []; rowCount: number }>();
    answers.push(answer);
    return answer.promise;
  };
  return { sent, answers, query, answer: () => answers.shift()?.resolve({ rows: [], rowCount: 1 }) };
}

it('many wake-ups become one NOTIFY, and those that come while it is under way become one more', async () => {
  const pool = fakePool();
  const outbox = createOutbox({ pool, wakeDebounceMs: 1, schema: 'shop' });
  for (let i = 0; i < 50; i++) outbox.wake();
  await expect.poll(() => pool.sent).toEqual([['SELECT pg_notify($1, $2)', 'outbox_wake_shop', 'events']]);
  for (let i = 0; i < 50; i++) outbox.wake();
  pool.answer();
  await expect.poll(() => pool.sent.length).toBe(2);
  pool.answer();
  await outbox.close();
  outbox.wake();
  expect(pool.sent).toHaveLength(2);
});

it('sends what is due when it is closed', async () => {
  const pool = fakePool();
  const outbox = createOutbox({ pool, wakeDebounceMs: 60_000 });
  outbox.wake();
  const closed = outbox.close();
  await expect.poll(() => pool.sent.length).toBe(1);
  pool.answer();
  await closed;
});

it('a database that is away is reported, and nothing else', async () => {
  const pool = fakePool();
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const outbox = createOutbox({ pool, wakeDebounceMs: 0, logger });
  outbox.wake();
  await expect.poll(() => pool.answers.length).toBe(1);
  pool.answers[0]?.reject(new Error('gone'));
  await expect.poll(() => logger.warn.mock.calls.length).toBe(1);
  outbox.wake();
  await expect.poll(() => pool.sent.length).toBe(2);
});

it('does nothing without a pool', async () => {
  const outbox = createOutbox();
  outbox.wake();
  await outbox.close();
});
