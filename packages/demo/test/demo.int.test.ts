import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { testStack } from '@orders/dev-stack/testing';
import { afterEach, describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let running: ChildProcess | undefined;

/** The demo as a process, on the servers of this test run. */
function startDemo(...args: string[]) {
  const { postgresUrl, kafkaBrokers } = testStack();
  const demo = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DEV_STACK_POSTGRES_URL: postgresUrl,
      DEV_STACK_KAFKA_BROKERS: kafkaBrokers.join(','),
    },
  });
  running = demo;
  const output = { stdout: '', stderr: '' };
  demo.stdout.on('data', (chunk) => (output.stdout += chunk));
  demo.stderr.on('data', (chunk) => (output.stderr += chunk));
  const exited = once(demo, 'close').then(([code]) => code as number);
  return { demo, output, exited };
}

afterEach(() => {
  if (running?.exitCode === null) running.kill('SIGKILL');
});

describe('the demo', () => {
  it('tells five parts, each with what it checked, and ends with status 0', {
    timeout: 150_000,
  }, async () => {
    const { output, exited } = startDemo('--json');
    const status = await exited;
    expect(output.stderr).toContain('All 16 checks hold.');
    expect(status).toBe(0);
    const { ok, failure, checked } = JSON.parse(output.stdout);
    expect({ ok, failure }).toEqual({ ok: true, failure: null });
    expect(new Set(checked.map(({ part }: { part: string }) => part)).size).toBe(5);
    expect(output.stderr).toMatch(/Part 4: .*declines/);
  });

  it('with --keep stays up, its curl line works, and Ctrl-C ends it', { timeout: 150_000 }, async () => {
    const { demo, output, exited } = startDemo('--keep');
    await expect
      .poll(() => output.stdout, { timeout: 120_000 })
      .toContain('Everything stays up until Ctrl-C.');
    const curl = output.stdout.split('\n').find((line) => line.includes('curl -sS')) ?? '';
    const shell = spawn('bash', ['-c', curl.slice(curl.indexOf('curl'))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let answer = '';
    shell.stdout.on('data', (chunk) => (answer += chunk));
    await once(shell, 'close');
    expect(JSON.parse(answer)).toMatchObject({ state: 'CREATED', version: 1, totalMinor: 500 });

    demo.kill('SIGINT');
    expect(await exited).toBe(0);
    const api = /API (http:\S+)/.exec(output.stdout)?.[1] ?? '';
    await expect(fetch(`${api}/livez`)).rejects.toThrow('fetch failed');
  });

  it('says what it can do, and refuses what it does not know', async () => {
    const help = startDemo('--help');
    expect(await help.exited).toBe(0);
    expect(help.output.stdout).toContain('--keep');
    const wrong = startDemo('--kep');
    expect(await wrong.exited).toBe(2);
    expect(wrong.output.stderr).toContain("--kep'");
  });
});
