import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { identify, isAlive, type ProcessIdentity, startTimeOf } from '../src/process-identity.ts';
import { type ServiceProcess, startService } from '../src/service-process.ts';
import { stopDevStack } from '../src/stack.ts';
import { type DaemonState, readState, statePaths } from '../src/state.ts';
import { uniqueName } from '../src/testing.ts';

/*
 * What happens to a stack when those who use it end, in whatever way. Each test has the embedded servers started
 * anew, all in one scope of their own, so that the shared stack of the other tests is not concerned.
 */

vi.setConfig({ testTimeout: 180_000 }); // each starts a broker, beside all the other packages' tests

const scope = uniqueName('private');
const paths = statePaths(scope, 'embedded');
const patient = { timeout: 60_000, interval: 50 };

const ours = ['HOME', 'TMPDIR', 'JAVA_HOME', 'XDG_CACHE_HOME'];
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => ours.includes(name))),
  DEV_STACK: 'embedded',
  DEV_STACK_SCOPE: scope,
  DEV_STACK_LINGER_MS: '1000',
  NO_COLOR: '1',
} as Record<string, string>;

const started: ServiceProcess[] = [];
afterEach(async () => {
  for (const one of started.splice(0)) await one.kill();
});
afterAll(async () => {
  await stopDevStack(scope);
  for (const mode of ['auto', 'docker', 'embedded'] as const)
    rmSync(statePaths(scope, mode).dir, { recursive: true, force: true });
});

interface Urls {
  postgresUrl: string;
  kafkaBrokers: string[];
}

/** A process that holds the stack: `pnpm dev-stack --json`. */
async function startHolder() {
  const holder = await startService({
    name: 'holder',
    entry: new URL('../src/main.ts', import.meta.url),
    args: ['--json'],
    env,
    graceMs: 60_000, // the first broker on a machine takes its time to end, see classArchive
  });
  started.push(holder);
  await expect.poll(() => holder.logs.find((line) => line.postgresUrl), patient).toBeDefined();
  return { holder, urls: holder.logs.find((line) => line.postgresUrl) as unknown as Urls };
}

async function startVitest(file: string) {
  const vitest = join(createRequire(import.meta.url).resolve('vitest/package.json'), '../vitest.mjs');
  const root = join(import.meta.dirname, '../fixtures/vitest-run');
  const run = await startService({
    name: file,
    entry: pathToFileURL(vitest),
    args: ['run', '--root', root, '--reporter=default', file],
    env,
  });
  started.push(run);
  return run;
}

const toldStack = (run: ServiceProcess) => run.logs.find((line) => line.stack)?.stack;

/** What the daemon says is running. */
function running(): Record<'daemon' | 'postgres' | 'kafka', ProcessIdentity> {
  return Object.fromEntries(readState(paths).processes.map((one) => [one.name, one])) as never;
}

const alive = (processes: object) =>
  Object.fromEntries(Object.entries(processes).map(([name, one]) => [name, isAlive(one)]));

async function listens(urls: Urls): Promise<boolean[]> {
  const { port } = new URL(urls.postgresUrl);
  const brokerPort = urls.kafkaBrokers[0]?.split(':')[1];
  return Promise.all(
    [port, brokerPort].map((one) => {
      const socket = connect(Number(one), '127.0.0.1');
      return once(socket, 'connect').then(
        () => socket.destroy() === socket,
        () => false,
      );
    }),
  );
}

async function expectAllGone(processes: object, urls: Urls) {
  expect(alive(processes)).toMatchObject({ postgres: false, kafka: false });
  // It has let go of everything, and may take a moment to end.
  await expect.poll(() => alive(processes), patient).toMatchObject({ daemon: false });
  expect(await listens(urls)).toEqual([false, false]);
  expect([paths.data, paths.state, paths.socket].filter(existsSync)).toEqual([]);
}

test('what a killed daemon leaves is ended by the next run, and only that: pid and start time must match', async () => {
  const { holder, urls } = await startHolder();
  const left = running();
  process.kill(left.daemon.pid, 'SIGKILL');
  expect(await holder.exited).toMatchObject({ code: 1 });
  expect(holder.logs.at(-1)?.msg).toContain('has ended');
  expect(alive(left)).toEqual({ daemon: false, postgres: true, kafka: true });
  expect(await listens(urls)).toEqual([true, true]);

  // A process that has got the pid of one that was recorded, and started at another time.
  const bystander = spawn('sleep', ['600']);
  await once(bystander, 'spawn');
  const impostor = { ...identify('kafka', bystander.pid as number), startedAt: left.kafka.startedAt };
  const state = JSON.parse(readFileSync(paths.state, 'utf8')) as DaemonState;
  state.processes.push({ ...impostor, endSignal: 'SIGKILL' } as DaemonState['processes'][number]);
  writeFileSync(paths.state, JSON.stringify(state));

  const next = await startHolder();
  expect(alive(left)).toEqual({ daemon: false, postgres: false, kafka: false });
  expect(await listens(urls)).toEqual([false, false]);
  expect(alive(running())).toEqual({ daemon: true, postgres: true, kafka: true });
  expect(await listens(next.urls)).toEqual([true, true]);
  expect(startTimeOf(bystander.pid as number)).toBeDefined();
  bystander.kill('SIGKILL');

  // Ctrl-C: when the command has ended, everything has.
  const processes = running();
  expect(await next.holder.stop('SIGINT')).toEqual({ code: 0, signal: null });
  await expectAllGone(processes, next.urls);
});

test('two holders share one stack; it outlives the first that leaves, and ends when the last is killed', async () => {
  const [one, two] = await Promise.all([startHolder(), startHolder()]);
  expect(two.urls).toEqual(one.urls);
  const processes = running();
  expect(await one.holder.stop('SIGINT')).toEqual({ code: 0, signal: null });
  const client = new pg.Client({ connectionString: two.urls.postgresUrl });
  await client.connect();
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await client.end();

  await two.holder.kill();
  await expect.poll(() => existsSync(paths.state), patient).toBe(false);
  await expect.poll(() => alive(processes), patient).toMatchObject({ daemon: false });
  await expectAllGone(processes, two.urls);
});

test('stop ends a stack that another process holds, says so, and both end in order', async () => {
  const { holder, urls } = await startHolder();
  const processes = running();
  const stop = await startService({
    name: 'stop',
    entry: new URL('../src/main.ts', import.meta.url),
    args: ['stop'],
    env,
  });
  started.push(stop);
  expect(await stop.exited).toEqual({ code: 0, signal: null });
  expect(stop.logs.map((line) => line.msg)).toEqual(['The development stack is stopped.']);
  await expectAllGone(processes, urls);
  expect(await holder.exited).toMatchObject({ code: 1 });
  expect(holder.logs.at(-1)?.msg).toContain('somebody stopped it');
});

test('the test runs of two packages share one stack, and it ends after them although a test failed', async () => {
  const [failing, passing] = await Promise.all([
    startVitest('fails.int.test.ts'),
    startVitest('passes.int.test.ts'),
  ]);
  await expect.poll(() => toldStack(failing), patient).toBeDefined();
  await expect.poll(() => toldStack(passing), patient).toEqual(toldStack(failing));
  const processes = running();
  expect((await failing.exited).code).toBe(1);
  expect((await passing.exited).code).toBe(0);
  await expect.poll(() => alive(processes), patient).toMatchObject({ daemon: false });
  await expectAllGone(processes, toldStack(failing) as Urls);
});
