import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type JudgedBar, relayBars } from '../src/bars.ts';
import { consumerBars } from '../src/consumer-bars.ts';

const dir = mkdtempSync(join(tmpdir(), 'orders-bench-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const main = join(import.meta.dirname, '../src/main.ts');

/** The command, with servers of its own. */
async function bench(...args: string[]) {
  const child = spawn(process.execPath, ['--disable-warning=TimeoutNegativeWarning', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const [status] = await once(child, 'close');
  return { status, output };
}

const tiny = ['relay', '--rounds', '1', '--events', '3000', '--seconds', '1'];
/** Sizes like these say nothing, so every bar is set where it holds by all means. */
const lenient = [
  ...['drain.kafkajs', 'drain.platformatic', 'held.drain'].map((name) => `${name}=0`),
  ...['held.poll', 'latency.kafkajs.p50', 'latency.kafkajs.p99', 'latency.platformatic.p50']
    .concat(['latency.platformatic.p99', 'idle.cpu', 'memory.growth'])
    .map((name) => `${name}=1000000`),
].flatMap((setting) => ['--bar', setting]);

/** Runs some cases, and reads what the command has written. */
async function run(name: string, cases: readonly string[], ...bars: string[]) {
  const file = join(dir, `${name}.json`);
  const only = cases.flatMap((one) => ['--only', one]);
  const { status, output } = await bench(...tiny, ...only, '--json', file, ...lenient, ...bars);
  return { status, output, ...JSON.parse(readFileSync(file, 'utf8')) };
}

/** Two servers are started for each run, and a process for each measurement. */
const timeoutMs = 300_000;

describe('pnpm bench, in small', { timeout: timeoutMs }, () => {
  it('runs every case, writes all bars as JSON, says that it is no bar run, and exits 1 only where one falls short', async () => {
    const [short, fine] = await Promise.all([
      run('short', ['drain', 'memory'], '--bar', 'drain.source=999'),
      run('fine', ['held-snapshot', 'latency', 'idle']),
    ]);
    for (const { broken, full, output } of [short, fine]) {
      expect(broken, output).toEqual([]);
      expect(full).toBe(false);
      expect(output).toContain('NOT A BAR RUN');
    }
    const bars: JudgedBar[] = [...short.bars, ...fine.bars];
    expect(bars.map(({ name }) => name).sort()).toEqual(
      Object.values(relayBars)
        .map(({ name }) => name)
        .sort(),
    );
    for (const { name, value, bar, ok } of bars)
      expect({ name, value, bar, ok }).toEqual({
        name,
        value: expect.any(Number),
        bar: expect.any(Number),
        ok: name !== 'drain.source',
      });
    expect(short.output).toContain('FALLS SHORT');
    expect([short.status, fine.status]).toEqual([1, 0]);
  });

  it('the consumer: runs both cases, writes all bars as JSON, and exits 1 only where one falls short', async () => {
    const file = join(dir, 'consumer.json');
    const bars = Object.values(consumerBars).map(({ name, holds }) => [
      '--bar',
      `${name}=${holds === 'at-least' ? 0 : 1_000_000}`,
    ]);
    // The later of two settings of one bar counts.
    const short = ['--bar', 'rate.kafkajs=999'];
    const { status, output } = await bench('consumer', '--quick', '--json', file, ...bars.flat(), ...short);
    const report = JSON.parse(readFileSync(file, 'utf8'));
    expect(report.broken, output).toEqual([]);
    expect(report.full).toBe(false);
    expect(
      report.bars.map(({ name, value, ok }: JudgedBar) => ({ name, ok, isNumber: Number.isFinite(value) })),
    ).toEqual(
      Object.values(consumerBars).map(({ name }) => ({ name, ok: name !== 'rate.kafkajs', isNumber: true })),
    );
    expect(status).toBe(1);
  });

  it('does not begin what it does not understand', async () => {
    for (const args of [
      [],
      ['consumer', '--only', 'drain'],
      ['consumer', '--quick', '--bar', 'idle.cpu=1'],
      ['relay', 'consumer'],
      ['relay', '--only', 'x'],
      ['relay', '--rounds', '0'],
      ['relay', '--events', '10'],
      ['relay', '--bar', 'x=1'],
    ])
      expect((await bench(...args)).status, args.join(' ')).toBe(2);
    expect(await bench('--help')).toMatchObject({
      status: 0,
      output: expect.stringContaining('drain.kafkajs'),
    });
  });
});
