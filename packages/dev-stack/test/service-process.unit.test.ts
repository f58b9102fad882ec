import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { startTimeOf } from '../src/process-identity.ts';
import { type ServiceOptions, type ServiceProcess, startService } from '../src/service-process.ts';

const fixture = (name: string) => new URL(`../fixtures/${name}`, import.meta.url);
const isAlive = (pid: number) => startTimeOf(pid) !== undefined;
const started: { kill(): unknown }[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const one of started.splice(0)) await one.kill();
});

async function start(options: Partial<ServiceOptions> = {}): Promise<ServiceProcess> {
  const service = await startService({ name: 'fixture', entry: fixture('service.ts'), ...options });
  started.push(service);
  return service;
}

const messages = (service: ServiceProcess) => service.logs.map((line) => line.msg);
const logged = (service: ServiceProcess, msg: string) =>
  expect.poll(() => messages(service), { timeout: 20_000 }).toContain(msg);

test('its log is read line by line: JSON as objects, anything else as text', async () => {
  const service = await start({ args: ['--done'] });
  expect(await service.exited).toEqual({ code: 0, signal: null });
  expect(service.logs).toHaveLength(4);
  expect(service.logs).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ level: 'info', msg: 'up', flags: ['--done'] }),
      { msg: 'not JSON' },
      { msg: '[1, 2]' },
      { msg: 'a warning of Node' },
    ]),
  );
});

test('it has the environment it was given, PATH and the compile cache, nothing else of ours; hooks are loaded first', async () => {
  vi.stubEnv('NODE_COMPILE_CACHE', join(tmpdir(), 'orders-compile-cache'));
  vi.stubEnv('ORDERS_SECRET', 'ours');
  const service = await start({ env: { ORDERS_TOPIC: 't' }, imports: [fixture('import-hook.ts')] });
  await logged(service, 'up');
  expect(service.logs.find((line) => line.msg === 'up')?.env).toEqual([
    'NODE_COMPILE_CACHE',
    'ORDERS_TOPIC',
    'PATH',
  ]);
  expect(messages(service).indexOf('hook loaded')).toBeLessThan(messages(service).indexOf('up'));
});

test('stop asks it to end and waits: exit code, and the log to its last word', async () => {
  const service = await start();
  await logged(service, 'up');
  expect(await service.stop()).toEqual({ code: 7, signal: null });
  expect(messages(service).at(-1)).toBe('drained');
  expect(await service.stop()).toEqual({ code: 7, signal: null });
  expect(isAlive(service.pid)).toBe(false);
});

test('one that does not hear is killed after the grace period', async () => {
  const service = await start({ args: ['--deaf'], graceMs: 300 });
  await logged(service, 'up');
  expect(await service.stop()).toEqual({ code: null, signal: 'SIGKILL' });
});

test('kill ends it without a word', async () => {
  const service = await start();
  await logged(service, 'up');
  expect(await service.kill()).toEqual({ code: null, signal: 'SIGKILL' });
  expect(messages(service)).not.toContain('drained');
});

test('a service whose entry does not exist ends with a status and says why', async () => {
  const service = await start({ entry: fixture('absent.ts') });
  expect(await service.exited).toEqual({ code: 1, signal: null });
  expect(messages(service).join('\n')).toContain('absent.ts');
});

test('services and the gateway simulator end when the process that started them is killed', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'orders-starter-')); // a killed starter cleans nothing up
  const starter = spawn(process.execPath, [fileURLToPath(fixture('starter.ts'))], {
    env: { ...process.env, TMPDIR: scratch },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(starter, { kill: () => rm(scratch, { recursive: true, force: true }) });
  const [service, simulator] = await pidsToldBy(starter);
  expect([service, simulator].map((pid) => isAlive(pid as number))).toEqual([true, true]);
  starter.kill('SIGKILL');
  await expect
    .poll(() => [service, simulator].map((pid) => isAlive(pid as number)), { timeout: 20_000 })
    .toEqual([false, false]);
});

async function pidsToldBy(child: ChildProcess): Promise<number[]> {
  if (child.stdout)
    for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line).pids;
  throw new Error('it told nothing');
}
