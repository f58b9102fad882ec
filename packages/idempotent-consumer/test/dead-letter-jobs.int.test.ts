import { describe, expect, it } from 'vitest';
import {
  cancelDeadLetterJob,
  type DeadLetterJob,
  discardDeadLetters,
  listDeadLetterJobs,
  previewDeadLetters,
  type RunJobOptions,
  replayDeadLetters,
  runDeadLetterJob,
} from '../src/index.ts';
import { type CountEvent, countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { storeLetters } from './letters.ts';
import { useMemoryConsumers } from './memory-consumer.ts';

const by = { actor: 'ada', reason: 'release 7 was broken' };

describe('jobs that decide about many dead letters', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  const replay = (selection: Parameters<typeof replayDeadLetters>[1], ratePerSecond?: number) =>
    db().transaction((tx) => replayDeadLetters(tx, selection, { ...by, ratePerSecond }));
  const runJob = ({ id }: DeadLetterJob, options?: RunJobOptions) =>
    runDeadLetterJob(db().transaction, id, options);
  const statesOf = async (consumerName: string) =>
    (await db().deadLetters(consumerName)).map(({ state }) => state);
  const many = (count: number) => Array.from({ length: count }, () => ({}));

  it('replays all that fit, those of a key in order, in bounded batches; every letter is audited', async () => {
    const consumerName = uniqueName('all');
    const key = uniqueName('key');
    await storeLetters(db(), consumerName, [...many(20), { key }, ...many(3), { key }, { key }]);
    const job = await replay({ consumerName });
    expect(job).toMatchObject({
      state: 'RUNNING',
      total: 26,
      done: 0,
      action: 'REPLAY',
      runner: null,
      ...by,
    });
    const progress: number[] = [];
    const ended = await runJob(job, { batchMax: 10, onProgress: ({ done }) => progress.push(done) });
    expect(ended).toMatchObject({ state: 'DONE', done: 26, failed: 0, finishedAt: expect.any(Date) });
    expect(progress).toEqual([10, 20, 26]);
    const handled: string[] = [];
    await start({
      consumerName,
      handle: async (tx: Tx, event: CountEvent, { afterCommit }) => {
        await countUp(tx, event);
        if (event.name === key) afterCommit(() => void handled.push(event.id));
      },
    });
    await expect.poll(async () => new Set(await statesOf(consumerName)), soon).toEqual(new Set(['DONE']));
    expect(handled).toEqual([20, 24, 25].map((n) => `${consumerName}-letters-${n}`));
    const { rows } = await db().pool.query(
      `SELECT actor, reason, count(*)::int FROM consumer_audit
       WHERE worker_id = $1 AND action = 'replay' AND detail ->> 'jobId' = $2 GROUP BY 1, 2`,
      [consumerName, job.id],
    );
    expect(rows).toEqual([{ ...by, count: 26 }]);
  });

  it('takes letters by topic, reason, time and key; a preview says how many, and changes nothing', async () => {
    const consumerName = uniqueName('filter');
    await storeLetters(db(), consumerName, [
      { reason: 'TypeError: x' },
      { reason: 'no column "Y"', key: 'k' },
      { topic: 'others', reason: 'no column "Y"' },
    ]);
    await db().pool.query(
      `UPDATE dead_letter_events SET failed_at = '2026-01-02T03:04:05Z' WHERE worker_id = $1 AND "offset" = 0`,
      [consumerName],
    );
    const january = { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-02-01T00:00:00Z') };
    const selections = [
      [{ reason: 'NO COLUMN' }, ['letters-1', 'others-2']],
      [{ topic: 'others' }, ['others-2']],
      [january, ['letters-0']],
      [{ orderingKey: 'k' }, ['letters-1']],
      [{ orderingKey: 'nobody' }, []],
    ] as const;
    for (const [selection, expected] of selections) {
      const preview = await db().transaction((tx) => previewDeadLetters(tx, { consumerName, ...selection }));
      expect(preview).toMatchObject({ total: expected.length, cut: 0, withoutRecord: 0 });
    }
    expect(await statesOf(consumerName)).toEqual(['DEAD', 'DEAD', 'DEAD']);
    for (const [selection, expected] of selections) {
      const ended = await runJob(await replay({ consumerName, ...selection }));
      expect(ended.done).toBe(expected.length);
      const { rows } = await db().pool.query(
        `UPDATE dead_letter_events SET state = 'DEAD' WHERE worker_id = $1 AND state = 'DUE' RETURNING event_id`,
        [consumerName],
      );
      expect(rows.map(({ event_id }) => event_id).toSorted()).toEqual(
        expected.map((id) => `${consumerName}-${id}`),
      );
      await db().pool.query(`UPDATE scheduled_events SET state = 'DEAD' WHERE worker_id = $1`, [
        consumerName,
      ]);
    }
  });

  it('keeps to its rate', async () => {
    const consumerName = uniqueName('rate');
    await storeLetters(db(), consumerName, many(12));
    const job = await replay({ consumerName }, 5);
    const began = performance.now();
    const counts: number[] = [];
    await runJob(job, { onProgress: ({ done }) => counts.push(done) });
    // 5 and 5 before the last batch: 2 s at five per second.
    expect(performance.now() - began).toBeGreaterThan(1_950);
    expect(counts).toEqual([5, 10, 12]);
  });

  it('another process takes over a job whose process died, behind the last batch that was committed', async () => {
    const consumerName = uniqueName('dies');
    await storeLetters(db(), consumerName, many(25));
    const job = await replay({ consumerName });
    let batches = 0;
    const dies = runDeadLetterJob(
      (work) => {
        if (++batches === 4) throw new Error('killed');
        return db().transaction(work);
      },
      job.id,
      { batchMax: 10, leaseMs: 1_000, runner: 'the one that dies' },
    );
    await expect(dies).rejects.toThrow('killed');
    expect(await db().transaction((tx) => listDeadLetterJobs(tx, { isRunning: true }))).toContainEqual(
      expect.objectContaining({ id: job.id, done: 20, runner: 'the one that dies' }),
    );
    const runners: unknown[] = [];
    const ended = await runJob(job, {
      runner: 'next',
      batchMax: 4,
      onProgress: ({ runner }) => runners.push(runner),
    });
    expect(ended).toMatchObject({ state: 'DONE', done: 25, failed: 0, total: 25 });
    expect(runners[0]).toBe('the one that dies'); // as long as it may be alive, the next one waits
    expect(runners).toContain('next');
    expect(await statesOf(consumerName)).toEqual(many(25).map(() => 'DUE'));
  });

  it('two processes run one job: each letter is decided about once', async () => {
    const consumerName = uniqueName('both');
    await storeLetters(db(), consumerName, many(40));
    const job = await replay({ consumerName }, 100);
    const ended = await Promise.all([runJob(job, { batchMax: 3 }), runJob(job, { batchMax: 3 })]);
    for (const one of ended) expect(one).toMatchObject({ state: 'DONE', done: 40, failed: 0 });
    const { rows } = await db().pool.query(
      `SELECT count(*)::int, count(DISTINCT detail ->> 'deadLetterId')::int AS letters FROM consumer_audit
       WHERE worker_id = $1 AND action = 'replay'`,
      [consumerName],
    );
    expect(rows).toEqual([{ count: 40, letters: 40 }]);
  });

  it('is interrupted and gone on with; is cancelled, and what it did stays done', async () => {
    const consumerName = uniqueName('stops');
    await storeLetters(db(), consumerName, many(30));
    const job = await replay({ consumerName });
    const stopping = new AbortController();
    const interrupted = await runJob(job, {
      batchMax: 10,
      signal: stopping.signal,
      onProgress: () => stopping.abort(),
    });
    expect(interrupted).toMatchObject({ state: 'RUNNING', done: 10, runner: null });
    const cancelled = await runJob(job, {
      batchMax: 2,
      onProgress: ({ done, state }) => {
        if (done === 12 && state === 'RUNNING')
          void db().transaction((tx) => cancelDeadLetterJob(tx, job.id, { actor: 'bob', reason: 'enough' }));
      },
      leaseMs: 60_000,
    });
    expect(cancelled.state).toBe('CANCELLED');
    expect(cancelled.done).toBeLessThan(30);
    expect((await statesOf(consumerName)).filter((state) => state === 'DUE')).toHaveLength(cancelled.done);
    expect(await runJob(job)).toEqual(cancelled);
    expect(await db().transaction((tx) => cancelDeadLetterJob(tx, job.id, by))).toEqual(cancelled);
    const { rows } = await db().pool.query(
      `SELECT actor, action, detail FROM consumer_audit WHERE worker_id = $1 AND action LIKE '%-job' ORDER BY id`,
      [consumerName],
    );
    expect(rows).toMatchObject([
      { actor: 'ada', action: 'replay-job', detail: { jobId: job.id, total: 30, filter: { consumerName } } },
      { actor: 'bob', action: 'cancel-job', detail: { jobId: job.id } },
    ]);
  });

  it('letters that fail after it was made are not its, those that it has replayed among them', async () => {
    const consumerName = uniqueName('again');
    const ids = await storeLetters(db(), consumerName, many(10));
    const job = await replay({ consumerName });
    await db().pool.query('UPDATE dead_letter_events SET failed_at = clock_timestamp() WHERE id = ANY ($1)', [
      ids.slice(5),
    ]);
    expect(await runJob(job)).toMatchObject({ state: 'DONE', done: 5, failed: 0 });
    expect(await statesOf(consumerName)).toEqual([...many(5).map(() => 'DUE'), ...many(5).map(() => 'DEAD')]);
  });

  it('letters that cannot be replayed are counted, with why; what is no record is left out', async () => {
    const consumerName = uniqueName('cut');
    await storeLetters(db(), consumerName, many(3));
    await db().pool.query(
      `WITH cut AS (UPDATE dead_letter_events SET scheduled_seq = NULL, value = substr(value, 1, 2)
         WHERE worker_id = $1 AND "offset" = 1)
       INSERT INTO dead_letter_events (worker_id, event_id, reason) VALUES ($1, 'payment', 'declined')`,
      [consumerName],
    );
    const preview = await db().transaction((tx) => previewDeadLetters(tx, { consumerName }));
    expect(preview).toMatchObject({ total: 3, cut: 1, withoutRecord: 1 });
    const ended = await runJob(await replay({ consumerName }));
    expect(ended).toMatchObject({
      total: 3,
      done: 2,
      failed: 1,
      lastFailure: expect.stringContaining('were cut'),
    });
  });

  it('discards all that fit', async () => {
    const consumerName = uniqueName('discard');
    await storeLetters(db(), consumerName, many(5));
    const job = await db().transaction((tx) => discardDeadLetters(tx, { consumerName }, by));
    expect(await runJob(job)).toMatchObject({ action: 'DISCARD', state: 'DONE', done: 5 });
    expect(new Set(await statesOf(consumerName))).toEqual(new Set(['DISCARDED']));
  });

  it('refuses a job without a reason, a rate that is none, and a number that no job has', async () => {
    const consumerName = uniqueName('refused');
    const made = (options: { reason?: string; ratePerSecond?: number }) =>
      db().transaction((tx) => replayDeadLetters(tx, { consumerName }, { ...by, ...options }));
    await expect(made({ reason: '' })).rejects.toMatchObject({ code: 'CONSUMER_OPTION_INVALID' });
    await expect(made({ ratePerSecond: 0 })).rejects.toMatchObject({ code: 'CONSUMER_OPTION_INVALID' });
    await expect(runDeadLetterJob(db().transaction, '999999')).rejects.toMatchObject({
      code: 'CONSUMER_JOB_UNKNOWN',
    });
  });
});
