import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFixture } from './fixture-process.ts';

const killAt = new URL('../src/testing/kill-at.ts', import.meta.url);

describe('crash points', () => {
  let folder = '';
  let env: Record<string, string> = {};
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kill-at-'));
    env = { KILL_AT: 'second', KILL_AT_FILE: join(folder, 'reached') };
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('the process kills itself at the named point, not before and not after, and leaves its name', async () => {
    const service = startFixture('passes-points', { env, imports: [killAt] });
    expect(await service.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(service.logs.map((line) => line.point)).toEqual(['first']);
    expect(await readFile(env.KILL_AT_FILE!, 'utf8')).toBe('second');
  });

  it('without --import the environment switches nothing on', async () => {
    const service = startFixture('passes-points', { env });
    await service.logged('started');
    expect(service.logs.filter((line) => line.point).map((line) => line.point)).toEqual([
      'first',
      'second',
      'third',
    ]);
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 0, signal: null });
  });

  it('a hook that is not told what to do stops the process before it starts', async () => {
    const service = startFixture('passes-points', { imports: [killAt] });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.stderr()).toContain('kill-at.ts needs KILL_AT and KILL_AT_FILE');
  });
});
