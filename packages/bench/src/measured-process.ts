import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LogLine, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';

const entries = {
  relay: new URL('./measured/relay.ts', import.meta.url),
  'raw-kafkajs': new URL('./measured/raw-kafkajs.ts', import.meta.url),
  'raw-platformatic': new URL('./measured/raw-platformatic.ts', import.meta.url),
  'steady-writer': new URL('./measured/steady-writer.ts', import.meta.url),
  'latency-writer': new URL('./measured/latency-writer.ts', import.meta.url),
  'latency-consumer': new URL('./measured/latency-consumer.ts', import.meta.url),
  consumer: new URL('./measured/consumer.ts', import.meta.url),
  'raw-consumer-kafkajs': new URL('./measured/raw-consumer-kafkajs.ts', import.meta.url),
  'raw-consumer-platformatic': new URL('./measured/raw-consumer-platformatic.ts', import.meta.url),
  load: new URL('./measured/load.ts', import.meta.url),
};

/** Names of the processes. */
export type MeasuredName = keyof typeof entries;

/** One of the processes that are measured, or that measure. */
export interface MeasuredProcess {
  readonly pid: number;
  /** What it said of an event, once it has. @throws when it ends before, or after `timeoutMs` */
  said<T>(event: string, timeoutMs?: number): Promise<T>;
  /** Ends it in order. */
  stop(): Promise<void>;
}

const saidIntervalMs = 5;
const saidTimeoutMs = 600_000;

/** Dozens of processes load the same modules; their start is never part of what is measured. */
const compileCache = join(tmpdir(), 'orders-bench-compile-cache');

/** Starts one; it ends when the bench ends, however that comes. */
export async function startMeasured(name: MeasuredName, settings: object): Promise<MeasuredProcess> {
  const started = await startService({
    name,
    entry: entries[name],
    args: [JSON.stringify(settings)],
    env: {
      NODE_NO_WARNINGS: '1', // kafkajs sets timers into the past (tulios/kafkajs#1751)
      NODE_COMPILE_CACHE: compileCache,
    },
  });
  let exit: string | undefined;
  void started.exited.then(({ code, signal }) => {
    exit = String(signal ?? code);
  });

  async function said<T>(event: string, timeoutMs = saidTimeoutMs): Promise<T> {
    let from = 0;
    const found = await waitFor(
      `"${event}" of ${name}`,
      async () => {
        const ended = exit;
        for (; from < started.logs.length; from += 1) {
          const line = started.logs[from] as LogLine;
          if (line.event === event) return line;
        }
        return ended === undefined ? undefined : { ended };
      },
      { timeoutMs, intervalMs: saidIntervalMs },
    );
    if ('ended' in found)
      throw new Error(
        `${name} ended (${found.ended}) before "${event}". Its last words:\n${lastWords(started)}`,
      );
    return found as T;
  }

  return {
    pid: started.pid,
    said,
    async stop() {
      await started.stop();
    },
  };
}

const lastWords = ({ logs }: ServiceProcess): string =>
  logs
    .slice(-8)
    .map((line) => JSON.stringify(line))
    .join('\n');
