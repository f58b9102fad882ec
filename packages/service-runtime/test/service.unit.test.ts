import { describe, expect, it } from 'vitest';
import { startFixture } from './fixture-process.ts';

describe('runService', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s drains, and then the exit status is 0', async (signal) => {
    const service = startFixture('drains-slowly');
    await service.logged('started');
    service.kill(signal);
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.messages()).toEqual(['started', 'draining', 'finished what was in flight', 'stopped']);
    expect(service.stderr()).toBe('');
  });

  it('a signal during the start is obeyed when the start is done', async () => {
    const service = startFixture('starts-slowly');
    await service.logged('starting');
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.messages()).toEqual(['starting', 'draining', 'started', 'stopped']);
  });

  it('a signal ends a start that waits for something, with status 0', async () => {
    const service = startFixture('waits-for-the-broker');
    await service.logged('waiting');
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.messages()).toEqual(['waiting', 'draining', 'the start was given up', 'stopped']);
  });

  it('a drain that does not end is cut off at its limit, with status 1', async () => {
    const service = startFixture('never-drains');
    await service.logged('started');
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs.at(-1)).toMatchObject({
      level: 'error',
      shutdownTimeoutMs: 500,
      msg: 'the drain took too long; what is in flight is left',
    });
  });

  it('a second signal ends the process at once, with status 1', async () => {
    const service = startFixture('never-drains');
    await service.logged('started');
    service.kill('SIGINT');
    await service.logged('draining');
    service.kill('SIGINT');
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs.at(-1)).toMatchObject({
      signal: 'SIGINT',
      msg: expect.stringContaining('second signal'),
    });
  });

  it.each([
    ['fails-to-start', 'the service could not start', 'no database'],
    ['throws-later', 'an uncaught error; the process ends', 'nobody caught me'],
  ])('%s: one line says why, and the exit status is 1', async (behaviour, msg, message) => {
    const service = startFixture(behaviour);
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs.at(-1)).toMatchObject({ level: 'error', msg, err: { message } });
    expect(service.stderr()).toBe('');
  });

  it('a drain that fails says why, with status 1', async () => {
    const service = startFixture('fails-to-drain');
    await service.logged('started');
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs.at(-1)).toMatchObject({
      msg: 'the drain failed',
      err: { message: 'the last commit failed' },
    });
  });

  it('a service that runs out of work does not end as if all were well', async () => {
    const service = startFixture('runs-out');
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs.at(-1)).toMatchObject({ level: 'error' });
  });

  it('a wrong configuration ends it with one line that names every problem and no value', async () => {
    const service = startFixture('misconfigured', { env: { DATABASE_URL: 'mysql://root:hunter2@db' } });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.logs).toHaveLength(1);
    expect(service.logs[0]).toMatchObject({
      level: 'error',
      service: 'fixture',
      code: 'RUNTIME_CONFIG_INVALID',
    });
    expect(service.logs[0]?.problems).toEqual([
      'PORT is missing',
      'DATABASE_URL must begin with postgres://',
    ]);
    expect(JSON.stringify(service.logs) + service.stderr()).not.toContain('hunter2');
  });
});
