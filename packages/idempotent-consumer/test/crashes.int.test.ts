import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { crashPoints } from '../src/testing.ts';
import type { CrashingMemberOptions } from './crashing-member.ts';
import { uniqueName, useDatabase } from './harness.ts';

const db = useDatabase();
const long = { timeout: 120_000 };
const files: string[] = [];
afterAll(() => {
  for (const file of files) rmSync(file, { force: true });
});

type Given = Omit<CrashingMemberOptions, 'databaseUrl' | 'consumerName' | 'offsetsFile' | 'options'> & {
  options?: CrashingMemberOptions['options'];
};

function crashingMember(given: Given) {
  const consumerName = uniqueName('crashing');
  const offsetsFile = join(tmpdir(), `${uniqueName('offsets')}.json`);
  files.push(offsetsFile);
  const run = (change: Partial<Given> & { sigterm?: boolean } = {}) => {
    const options = { databaseUrl: db().url, consumerName, offsetsFile, options: {}, ...given, ...change };
    return new Promise<{ signal: string | null; said: string }>((resolve) => {
      const args = [join(import.meta.dirname, 'crashing-member.ts'), JSON.stringify(options)];
      const child = execFile(process.execPath, args, (_, stdout, stderr) => {
        resolve({ signal: child.signalCode, said: (stdout + stderr).trim() });
      });
      if (change.sigterm === true) child.stdout?.once('data', () => child.kill('SIGTERM'));
    });
  };
  /** Runs members one after the other until one comes to its end. @returns how often one died, and of what */
  const runUntilDone = async (change: Partial<Given> = {}): Promise<string[]> => {
    const deaths: string[] = [];
    for (;;) {
      const { signal, said } = await run(change);
      if (signal === null) {
        expect(said).toBe('done');
        return deaths;
      }
      deaths.push(said);
      expect(deaths.length, `does not end: ${deaths}`).toBeLessThan(8);
    }
  };
  const counted = (ids: readonly string[]) => Promise.all(ids.map((id) => db().counted(id)));
  const startsNow = async () =>
    (
      await db().pool.query('SELECT * FROM consumer_chunk_starts WHERE worker_id = $1 ORDER BY "partition"', [
        consumerName,
      ])
    ).rows;
  return { consumerName, run, runUntilDone, counted, startsNow };
}

const idsOf = (...names: string[]) => {
  const run = uniqueName('').replaceAll('-', '_');
  return names.map((name) => `${name}${run}-0`);
};

// Each waits for the processes that it has started one after the other.
describe.concurrent('a handler that ends its process', () => {
  it(
    'is found event by event, becomes a dead letter after startsMax, and its neighbours are handled once',
    long,
    async () => {
      const ids = idsOf('a', 'b', 'killer', 'c', 'd');
      const { runUntilDone, counted, consumerName, startsNow } = crashingMember({
        partitions: [ids],
        killers: [ids[2] as string],
        options: { startsMax: 3 },
      });
      const deaths = await runUntilDone();
      // Once in its chunk, which was noted, then as often as it may alone.
      expect(deaths).toEqual(Array.from({ length: 4 }, () => ids[2]));
      expect(await counted(ids)).toEqual([1, 1, 0, 1, 1]);
      expect(await db().deadLetters(consumerName)).toMatchObject([
        { event_id: ids[2], reason: expect.stringContaining('begun 3 times by processes that did not live') },
      ]);
      expect(await startsNow()).toMatchObject([{ starts: 0 }]);
    },
  );

  it(
    'is found too where it comes late, when chunks are not noted any more: it costs one more process',
    long,
    async () => {
      const ids = idsOf(...Array.from({ length: 2_300 }, (_, i) => `e${i}`));
      const killer = ids[2_250] as string;
      const { run, runUntilDone, counted, consumerName, startsNow } = crashingMember({
        partitions: [ids],
        killers: [killer],
        chunkSize: 100,
        options: { startsMax: 3 },
      });
      expect(await run()).toEqual({ signal: 'SIGKILL', said: killer });
      expect(await startsNow()).toMatchObject([{ first_offset: '1900', starts: 0 }]);
      expect(await runUntilDone()).toEqual(Array.from({ length: 4 }, () => killer));
      expect(await counted(ids)).toEqual(ids.map((id) => (id === killer ? 0 : 1)));
      expect(await db().deadLetters(consumerName)).toMatchObject([
        { event_id: killer, reason: expect.stringContaining('begun 3 times by processes that did not live') },
      ]);
    },
  );

  it('takes no event of another partition with it, however slow that is', long, async () => {
    const [killer, slow] = [idsOf('killer'), idsOf('slow')];
    const { runUntilDone, counted, consumerName } = crashingMember({
      partitions: [slow, killer, idsOf('other')],
      killers: killer,
      options: { startsMax: 3 },
      handleMs: 150,
    });
    await runUntilDone();
    expect(await counted([...slow, ...killer])).toEqual([1, 0]);
    expect(await db().deadLetters(consumerName)).toMatchObject([{ event_id: killer[0] }]);
  });

  it('and has been stored before: the same, and stored neighbours are handled', long, async () => {
    const ids = idsOf('killer', 'slow', 'after');
    const [killer, slow, after] = ids as [string, string, string];
    const { run, runUntilDone, counted, consumerName } = crashingMember({
      partitions: [ids],
      failingOnce: [killer, slow],
      options: { startsMax: 3, handleTimeoutMs: 300, retry: { baseMs: 20, maxMs: 20 } },
    });
    // Stored while it fails still; then it becomes a killer.
    expect((await run({ killAt: { point: 'consumer.accept.after-commit', nth: 1 } })).signal).toBe('SIGKILL');
    // Leases are not waited for here: they would end by themselves.
    const deaths: string[] = [];
    for (let i = 0; i < 10; i++) {
      await db().pool.query(
        'UPDATE scheduled_events SET lease_until = NULL, next_at = now() WHERE worker_id = $1',
        [consumerName],
      );
      const { signal, said } = await run({ killers: [killer], handleMs: 50 });
      if (signal === null) break;
      deaths.push(said);
    }
    expect(deaths.length).toBeLessThanOrEqual(4);
    expect(new Set(deaths)).toEqual(new Set([killer]));
    await runUntilDone({ killers: [killer] });
    expect(await counted([killer, slow, after])).toEqual([0, 1, 1]);
    expect(await db().deadLetters(consumerName)).toMatchObject([
      { event_id: killer, reason: expect.stringContaining('EndsItsProcess') },
    ]);
  });

  it('a clean stop in the middle is no start without an end', long, async () => {
    const ids = idsOf('slow');
    const { run, runUntilDone, counted, startsNow } = crashingMember({ partitions: [ids], handleMs: 500 });
    const stopped = await run({ sigterm: true, isTalkative: true });
    expect(stopped.signal).toBe(null);
    expect(await startsNow()).toMatchObject([{ starts: 0 }]);
    expect(await runUntilDone()).toEqual([]);
    expect(await counted(ids)).toEqual([1]);
  });
});

describe.concurrent('a process killed', () => {
  it.each(crashPoints)(
    'at %s loses nothing and repeats nothing, stored events included',
    long,
    async (point) => {
      const run = uniqueName('').replaceAll('-', '_');
      const ids = ['a', 'b', 'a', 'c', 'b', 'a'].map((key, i) => `${key}${run}-${i}`);
      const member = crashingMember({
        partitions: [ids],
        failingOnce: [ids[0] as string, ids[3] as string],
        options: { handleTimeoutMs: 300, retry: { baseMs: 20, maxMs: 20 } },
      });
      const { signal, said } = await member.run({ killAt: { point, nth: 1 } });
      expect({ signal, said }).toEqual({ signal: 'SIGKILL', said: point });
      await db().pool.query('UPDATE scheduled_events SET lease_until = NULL WHERE worker_id = $1', [
        member.consumerName,
      ]);
      await member.runUntilDone();
      expect(await member.counted(ids)).toEqual(ids.map(() => 1));
      expect(await db().deadLetters(member.consumerName)).toEqual([]);
      expect((await db().scheduled(member.consumerName)).map(({ state }) => state)).not.toContain('DUE');
    },
  );
});
