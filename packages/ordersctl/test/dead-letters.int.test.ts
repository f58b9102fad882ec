import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import { createTestDatabase, type TestDatabase } from '@orders/dev-stack/testing';
import { addDeadLetter } from '@orders/idempotent-consumer';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from './ordersctl.ts';
import { run } from './run.ts';

let testDatabase: TestDatabase;
let database: DatabaseHandle;
beforeAll(async () => {
  testDatabase = await createTestDatabase({
    template: 'orders',
    migrate: async (url) => void (await migrateAll(url)),
  });
  database = createDatabase({ url: testDatabase.url });
  vi.stubEnv('DATABASE_URL', testDatabase.url);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await database?.close();
  await testDatabase?.drop();
});
beforeEach(async () => {
  for (const table of ['outbox_dead_letters', 'dead_letter_events', 'scheduled_events', 'consumer_audit'])
    await database.pool.query(`DELETE FROM ${table}`);
});

const letters = (...args: string[]) => run('dead-letters', ...args);
const select = async (text: string, values: unknown[] = []) => (await database.pool.query(text, values)).rows;

/** Dead letters of the outbox: their numbers. */
const outboxLetters = async (count: number): Promise<number[]> => {
  const rows = await select(
    `INSERT INTO outbox_dead_letters
       (seq, event_id, bucket, topic, key, type, aggregatetype, aggregateid, blocks, reason, attempts, created_at)
     SELECT 1000 + n, gen_random_uuid(), 1, 'orders', 'k', 't', 'order', 'o-' || n, true, 'too large', 1, now()
     FROM generate_series(1, $1) n ORDER BY n RETURNING id`,
    [count],
  );
  return rows.map(({ id }) => Number(id));
};

/** Dead letters of a consumer, with their scheduled rows: their ids in order. */
async function consumerLetters(consumerName: string, count: number): Promise<string[]> {
  const rows = await select(
    `WITH stored AS (
       INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", key, value,
         headers, state, attempts, next_at)
       SELECT $1, 'e-' || n, 'key:o-' || n, 'orders.events', 0, n, 'k', '{"n":1}', '[["type","dA=="]]', 'DEAD', 3, now()
       FROM generate_series(1, $2) n ORDER BY n RETURNING *
     ) INSERT INTO dead_letter_events
         (worker_id, event_id, topic, "partition", "offset", key, value, reason, attempts, scheduled_seq, failed_at)
       SELECT worker_id, event_id, topic, "partition", "offset", key, value, 'TypeError: x', 3, seq,
         '2026-01-02T03:04:05Z'::timestamptz + "offset" * interval '1 minute' FROM stored ORDER BY "offset"
       RETURNING id`,
    [consumerName, count],
  );
  return rows.map(({ id }) => id);
}

const statesOf = async (consumerName: string) =>
  (
    await select(`SELECT state FROM dead_letter_events WHERE worker_id = $1 ORDER BY "offset"`, [
      consumerName,
    ])
  ).map(({ state }) => state);

describe('ordersctl dead-letters list and show', () => {
  it('lists those of the outbox and of the consumers in the same words, page by page', async () => {
    const outbox = (await outboxLetters(3)).map(String);
    const consumer = await consumerLetters('worker', 4);
    const seen: string[] = [];
    for (let after: string[] = []; ; ) {
      const { deadLetters, next } = (await letters('list', '--limit', '2', '--json', ...after)).json();
      expect(deadLetters.length).toBeLessThanOrEqual(2);
      seen.push(...deadLetters.map(({ of, id }: { of: string; id: string }) => `${of} ${id}`));
      if (next === null) break;
      after = ['--after', next];
    }
    expect(seen).toEqual([...outbox.map((id) => `outbox ${id}`), ...consumer.map((id) => `worker ${id}`)]);
    const { deadLetters } = (await letters('list', '--json')).json();
    const words = Object.keys(deadLetters[0]);
    expect(words).toEqual(
      expect.arrayContaining(['of', 'id', 'state', 'topic', 'key', 'reason', 'failedAt']),
    );
    for (const letter of deadLetters) expect(Object.keys(letter)).toEqual(words);
    expect((await letters('list', '--limit', '1')).out).toMatch(
      /^outbox \d+ DEAD \S+Z orders o-1: too large\nmore: --after outbox:\d+\n$/,
    );
    expect((await letters('list', '--of', 'outbox')).out.split('\n')).toHaveLength(4);
    expect((await letters('list', '--of', 'worker', '--from', '2026-01-02T03:08Z')).out).toMatch(
      /^worker \S+ DEAD 2026-01-02T03:08:05.000Z orders.events\[0\]@4 key:o-4: TypeError: x\n$/,
    );
    expect((await letters('list', '--key', 'o-2', '--json')).json().deadLetters).toMatchObject([
      { of: 'outbox', key: 'o-2' },
      { of: 'worker', key: 'key:o-2' },
    ]);
    expect((await letters('list', '--state', 'done')).out).toBe('none\n');
  });

  it('a page that the outbox fills is the last one where no consumer has any', async () => {
    await outboxLetters(2);
    expect((await letters('list', '--limit', '2', '--json')).json()).toMatchObject({ next: null });
  });

  it('shows one with its record, its scheduled row and what was done with it', async () => {
    const [id = ''] = await consumerLetters('worker', 1);
    await letters('replay', '--id', id, '--reason', 'mended', '--by', 'ada');
    const { deadLetter } = (await letters('show', '--id', id, '--json')).json();
    expect(deadLetter).toMatchObject({
      of: 'worker',
      id,
      state: 'DUE',
      record: { key: 'k', value: '{"n":1}', headers: { type: 't' }, isWhole: true },
      scheduled: { state: 'DUE', eventId: 'e-1', attempts: 0 },
      history: [{ actor: 'ada', action: 'replay', reason: 'mended' }],
    });
    const { out } = await letters('show', '--id', id);
    expect(out).toMatch(/^state: DUE$/m);
    expect(out).toMatch(/^ {2}value: "\{\\"n\\":1\}"$/m);
    const [number] = await outboxLetters(1);
    expect((await letters('show', '--id', String(number), '--json')).json().deadLetter).toMatchObject({
      of: 'outbox',
      type: 't',
    });
    for (const nobody of ['999999', '00000000-0000-4000-8000-000000000000'])
      expect(await letters('show', '--id', nobody)).toMatchObject({
        status: 1,
        err: expect.stringMatching(/^error: no such dead letter.*\(ORDERSCTL_DEAD_LETTER_UNKNOWN\)\n$/),
      });
  });
});

describe('ordersctl dead-letters replay and discard', () => {
  it('replays one of a consumer, once; who and why are kept', async () => {
    const [id = ''] = await consumerLetters('worker', 2);
    const replay = () => letters('replay', '--id', id, '--reason', 'mended', '--json');
    expect((await replay()).json()).toEqual({ outcome: 'replayed', id });
    expect(await statesOf('worker')).toEqual(['DUE', 'DEAD']);
    const again = await replay();
    expect(again).toMatchObject({ status: 1, out: '' });
    expect(JSON.parse(again.err)).toEqual({
      error: { code: 'ORDERSCTL_DEAD_LETTER_REFUSED', message: 'it waits for no decision: it is DUE' },
    });
    const [{ actor } = { actor: '' }] = await select(
      `SELECT actor FROM consumer_audit WHERE action = 'replay' AND reason = 'mended'`,
    );
    expect(actor).not.toBe('');
  });

  it('replays and discards those of the outbox: one, or all that fit; who and why are kept', async () => {
    const [one, other] = await outboxLetters(4);
    const decide = async (...args: string[]) =>
      (await letters(...args, '--reason', 'the limit was raised', '--by', 'ada', '--json')).json();
    expect(await decide('replay', '--id', String(one))).toMatchObject({ of: 'outbox', outcome: 'replayed' });
    expect(await decide('discard', '--id', String(other))).toMatchObject({ outcome: 'discarded' });
    const some = ['--of', 'outbox', '--failed-with', 'TOO LARGE'];
    expect((await letters('replay', ...some, '--dry-run', '--json')).json()).toEqual({
      dryRun: true,
      total: 2,
    });
    expect(await decide('replay', ...some)).toEqual({ of: 'outbox', done: 2, failed: 0 });
    expect(
      await select(`SELECT state, history -> 0 ->> 'reason' AS reason FROM outbox_dead_letters ORDER BY id`),
    ).toEqual(
      ['REDRIVEN', 'SKIPPED', 'REDRIVEN', 'REDRIVEN'].map((state) => ({
        state,
        reason: 'the limit was raised (by ada)',
      })),
    );
    expect((await letters('list')).out).toBe('none\n');
  });

  it('replays many of a consumer by a job with its progress; a dry run changes nothing', async () => {
    await consumerLetters('worker', 4);
    const some = ['--of', 'worker', '--to', '2026-01-02T03:07Z'];
    const dry = await letters('replay', ...some, '--dry-run');
    expect(dry).toMatchObject({ status: 0, out: '2 would be replayed; nothing was changed\n' });
    expect(await statesOf('worker')).toEqual(['DEAD', 'DEAD', 'DEAD', 'DEAD']);
    const { status, out, err } = await letters('replay', ...some, '--reason', 'mended', '--by', 'ada');
    expect(status).toBe(0);
    expect(out).toMatch(/^job \d+ of worker: 2 of 2 replayed, 0 failed; done; ada: mended\n$/);
    expect(err).toMatch(/^job \d+ of worker/);
    expect(await statesOf('worker')).toEqual(['DUE', 'DUE', 'DEAD', 'DEAD']);
    const rest = ['discard', '--of', 'worker', '--all', '--reason', 'not ours', '--json'];
    const { job } = (await letters(...rest)).json();
    expect(job).toMatchObject({ action: 'DISCARD', state: 'DONE', done: 2, reason: 'not ours' });
    expect(await statesOf('worker')).toEqual(['DUE', 'DUE', 'DISCARDED', 'DISCARDED']);
    expect((await letters('jobs', 'list', '--json')).json().jobs).toHaveLength(2);
    expect((await letters('jobs', 'list', '--running')).out).toBe('none\n');
  });

  it('a payment’s dead letter is refused with a hint, whichever way', async () => {
    const letter = { topic: null, partition: null, offset: null, key: null, value: null, headers: {} };
    const { id } = await inTransaction(database.db, (tx) =>
      addDeadLetter(tx, {
        ...letter,
        consumerName: 'payment-executor',
        eventId: 'p',
        payload: {},
        reason: 'declined',
        attempts: 3,
      }),
    );
    for (const which of [
      ['--id', id],
      ['--of', 'payment-executor', '--all'],
    ]) {
      const { status, err } = await letters('replay', ...which, '--reason', 'r');
      expect(status).toBe(1);
      expect(err).toMatch(
        /^error: a payment’s dead letter .* own for that \(ORDERSCTL_DEAD_LETTER_REFUSED\)\n$/,
      );
    }
    expect(await statesOf('payment-executor')).toEqual(['DEAD']);
  });

  it('the old commands do it still, and say what to use instead', async () => {
    const [one, other] = await outboxLetters(2);
    const shown = await run('relay', 'dead-letters', '--json');
    expect(shown.json().deadLetters).toHaveLength(2);
    expect(shown.err).toMatch(/use `ordersctl dead-letters list --of outbox`\n$/);
    const redriven = await run('relay', 'redrive', '--id', String(one));
    expect(redriven).toMatchObject({
      status: 0,
      err: expect.stringContaining(`dead-letters replay --id ${one} `),
    });
    const skipped = await run('relay', 'skip', '--id', String(other), '--reason', 'lost');
    expect(skipped).toMatchObject({
      status: 0,
      err: expect.stringContaining(`dead-letters discard --id ${other} `),
    });
  });
});

describe('ordersctl dead-letters jobs', () => {
  /** A replay as a process of its own, that has done something and has more to do. */
  async function running(count: number) {
    await consumerLetters('slow', count);
    const args = ['dead-letters', 'replay', '--of', 'slow', '--all', '--rate', '2', '--reason', 'mended'];
    const env = { DATABASE_URL: testDatabase.url, PATH: process.env.PATH };
    const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let err = '';
    child.stderr?.on('data', (text) => {
      err += text;
    });
    const done = () => statesOf('slow').then((states) => states.filter((state) => state === 'DUE').length);
    await expect.poll(done, { timeout: 30_000 }).toBeGreaterThan(0);
    const [{ id }] = (await letters('jobs', 'list', '--running', '--json')).json().jobs;
    return { child, id: String(id), err: () => err, done };
  }

  it('is ended by Ctrl-C after its batch, says how to go on, and goes on at once', async () => {
    const { child, id, err, done } = await running(200);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect(err()).toMatch(
      /if it is interrupted, `ordersctl dead-letters jobs resume --id \d+` goes on with it/,
    );
    expect(err()).toMatch(/^error: interrupted; `ordersctl .*\(ORDERSCTL_INTERRUPTED\)$/m);
    const [job] = (await letters('jobs', 'list', '--running', '--json')).json().jobs;
    expect(job).toMatchObject({ id, state: 'RUNNING', runner: null, done: await done() });
    expect((await letters('jobs', 'list')).out).toContain('; left off; ');
    await database.pool.query('UPDATE consumer_replays SET rate_per_second = NULL WHERE id = $1', [id]);
    const resumed = (await letters('jobs', 'resume', '--id', id, '--json')).json();
    expect(resumed.job).toMatchObject({ state: 'DONE', done: 200, failed: 0 });
    expect(await done()).toBe(200);
  });

  it('whose process was killed is gone on with by another, and can be cancelled', async () => {
    const { child, id } = await running(200);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await database.pool.query(
      `UPDATE consumer_replays SET rate_per_second = 50, lease_until = lease_until - interval '10 s' WHERE id = $1`,
      [id],
    );
    const resumed = letters('jobs', 'resume', '--id', id, '--json');
    const found = () => select('SELECT done, lease_owner FROM consumer_replays WHERE id = $1', [id]);
    await expect
      .poll(found, { timeout: 30_000 })
      .toMatchObject([{ done: expect.any(Number), lease_owner: `ordersctl ${process.pid}` }]);
    const cancel = await letters('jobs', 'cancel', '--id', id, '--reason', 'enough', '--by', 'bob', '--json');
    expect(cancel.json().job).toMatchObject({ id, state: 'CANCELLED' });
    expect((await resumed).json().job).toMatchObject({ state: 'CANCELLED' });
    expect(await select(`SELECT actor FROM consumer_audit WHERE action = 'cancel-job'`)).toEqual([
      { actor: 'bob' },
    ]);
    expect(await letters('jobs', 'cancel', '--id', '999999', '--reason', 'r')).toMatchObject({
      status: 1,
      err: 'error: there is no job 999999 (ORDERSCTL_JOB_UNKNOWN)\n',
    });
  });
});

describe('ordersctl consumer', () => {
  const consumer = (...args: string[]) => run('consumer', ...args);

  it('shows what is scheduled, dead and blocked', async () => {
    await consumerLetters('payment-worker', 2);
    const { out } = await consumer('status');
    for (const line of [
      /^not paused$/m,
      /^kill switch: on$/m,
      /^scheduled: 0, oldest \d+\.\d s$/m,
      /^dead letters: 2$/m,
      /^blocked keys: 2\n {2}key:o-1 DEAD for \d+\.\d s, 3 attempts, 0 wait behind it$/m,
    ])
      expect(out).toMatch(line);
    expect((await consumer('status', '--name', 'nobody', '--json')).json()).toMatchObject({
      dead: { count: 0 },
      blockedKeys: { oldest: [] },
    });
  });

  it('pauses and resumes it, and overrides its kill switch, audited', async () => {
    const who = ['--by', 'ada', '--reason', 'the database is moved'];
    expect((await consumer('pause', ...who)).out).toMatch(
      /^paused since \S+Z by ada: the database is moved\nkill switch: on\n$/,
    );
    expect((await consumer('status')).out).toContain(' by ada: the database is moved\n');
    const off = (await consumer('kill-switch', '--off-for', '10m', ...who, '--json')).json();
    const untilMs = new Date(off.killSwitchOffUntil).getTime();
    expect(Math.abs(untilMs - Date.now() - 600_000)).toBeLessThan(30_000);
    expect((await consumer('resume', '--by', 'bob')).out).toMatch(
      /^not paused\nkill switch: off until \S+Z\n$/,
    );
    expect((await consumer('kill-switch', '--on', ...who)).out).toBe('not paused\nkill switch: on\n');
    expect(await select('SELECT actor, action FROM consumer_audit ORDER BY id')).toEqual([
      { actor: 'ada', action: 'pause' },
      { actor: 'ada', action: 'kill-switch-override' },
      { actor: 'bob', action: 'resume' },
      { actor: 'ada', action: 'kill-switch-override' },
    ]);
  });
});
