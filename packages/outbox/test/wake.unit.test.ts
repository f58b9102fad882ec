import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { bucketOf } from '../src/bucket.ts';
import { createOutbox } from '../src/index.ts';
import { bucketsIn } from '../src/wake-message.ts';

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

/** What the notifications said. */
const messages = (pool: ReturnType<typeof fakePool>) =>
  pool.sent.map(([, channel, message]) => [channel, message]);

it('the first wake-up is sent at once, and those that come while it is under way become one more', async () => {
  const pool = fakePool();
  const outbox = createOutbox({ pool, wakeDebounceMs: 1, schema: 'shop' });
  for (let i = 0; i < 50; i++) outbox.wake();
  expect(messages(pool)).toEqual([['outbox_wake_shop', 'events']]);
  pool.answer();
  await expect.poll(() => pool.sent.length).toBe(2);
  pool.answer();
  await outbox.close();
  outbox.wake();
  expect(pool.sent).toHaveLength(2);
});

it('those that come within the debounce time of one become one more, which closing sends at once', async () => {
  const pool = fakePool();
  const outbox = createOutbox({ pool, wakeDebounceMs: 60_000 });
  outbox.wake();
  pool.answer();
  for (let i = 0; i < 50; i++) outbox.wake();
  expect(pool.sent).toHaveLength(1);
  const closed = outbox.close();
  await expect.poll(() => pool.sent.length).toBe(2);
  pool.answer();
  await closed;
});

it('says in which buckets the events are if it is told their keys, and else that they may be anywhere', async () => {
  const pool = fakePool();
  const outbox = createOutbox({ pool, wakeDebounceMs: 0 });
  const said = async () => {
    await expect.poll(() => pool.answers.length).toBe(1);
    const message = messages(pool).at(-1)?.[1] as string;
    pool.answer();
    await nextTurn();
    return message;
  };
  outbox.wake('a');
  outbox.wake(['b', 'c']);
  outbox.wake('b');
  expect(bucketsIn(await said())).toEqual([bucketOf('a')]);
  expect(bucketsIn(await said())).toEqual([bucketOf('b'), bucketOf('c')]);
  outbox.wake('a');
  expect(bucketsIn(await said())).toEqual([bucketOf('a')]);
  outbox.wake([]);
  outbox.wake('a');
  outbox.wake('b');
  outbox.wake();
  expect(bucketsIn(await said())).toEqual([bucketOf('a')]);
  expect(await said()).toBe('events');
  await outbox.close();
});

it.for([undefined, '', 'events', 'events ', 'events x', 'events 1,2', 'events 1 x', 'tea 1'])(
  'a message that it does not understand (%s) may mean events anywhere',
  (message) => expect(bucketsIn(message)).toBeUndefined(),
);

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
