import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

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

const tiny = ['relay', '--rounds', '1', '--events', '3000', '--seconds', '2'];
/** Sizes like these say nothing, so every bar is set where it holds by all means. */
const lenient = {
  atLeast: ['drain.kafkajs', 'drain.platformatic', 'drain.source', 'held.drain'].map((name) => `${name}=0`),
  atMost: ['held.poll', 'latency.kafkajs.p50', 'latency.kafkajs.p99', 'latency.platformatic.p50']
    .concat(['latency.platformatic.p99', 'idle.cpu', 'memory.growth'])
    .map((name) => `${name}=1000000`),
};
const bars = (settings: string[]) => settings.flatMap((setting) => ['--bar', setting]);

/** Two servers are started for each run, and a process for each measurement. */
const timeoutMs = 300_000;

describe('pnpm bench relay, in small', { timeout: timeoutMs }, () => {
  it('runs every case, writes all bars as JSON, says that it is no bar run, and exits 0 where all hold', async () => {
    const file = join(dir, 'all.json');
    const all = bars([...lenient.atLeast, ...lenient.atMost]);
    const { status, output } = await bench(...tiny, '--json', file, ...all);
    const report = JSON.parse(readFileSync(file, 'utf8'));
    expect(report.broken, output).toEqual([]);
    expect(report.bars.map(({ name }: { name: string }) => name).sort()).toEqual(
      [...lenient.atLeast, ...lenient.atMost].map((setting) => setting.split('=')[0]).sort(),
    );
    for (const bar of report.bars)
      expect(bar).toMatchObject({ value: expect.any(Number), bar: expect.any(Number), ok: true });
    expect(report.full).toBe(false);
    expect(output).toContain('NOT A BAR RUN');
    expect(status).toBe(0);
  });

  it('exits 1 where one bar falls short', async () => {
    const file = join(dir, 'short.json');
    const { status, output } = await bench(
      ...tiny,
      '--only',
      'drain',
      '--json',
      file,
      '--bar',
      'drain.source=999',
    );
    const { bars: judged } = JSON.parse(readFileSync(file, 'utf8'));
    expect(judged, output).toContainEqual(
      expect.objectContaining({ name: 'drain.source', bar: 999, ok: false }),
    );
    expect(output).toContain('FALLS SHORT');
    expect(status).toBe(1);
  });

  it('does not begin what it does not understand', async () => {
    for (const args of [
      [],
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
