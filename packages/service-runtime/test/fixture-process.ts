import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

const fixture = fileURLToPath(new URL('fixtures/service.ts', import.meta.url));

/** Starts test/fixtures/service.ts as a process of its own, with this environment and no more. */
export function startFixture(behaviour: string, o: { env?: Record<string, string>; imports?: URL[] } = {}) {
  const imports = (o.imports ?? []).flatMap((module) => ['--import', module.href]);
  const child = spawn(process.execPath, [...imports, fixture, behaviour], {
    env: { ...o.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const logs: Record<string, unknown>[] = [];
  let stderr = '';
  createInterface({ input: child.stdout }).on('line', (line) => logs.push(JSON.parse(line)));
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const messages = () => logs.map((line) => line.msg);
  return {
    logs,
    messages,
    stderr: () => stderr,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    logged: (message: string) => expect.poll(messages, { timeout: 20_000, interval: 10 }).toContain(message),
    exited: once(child, 'close').then(([code, signal]) => ({ code, signal })),
  };
}
