import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setInterval } from 'node:timers';
import { kafkaCommand } from '@orders/dev-stack/own-servers';
import { benchTopic } from './bench-run.ts';
import { cpuMsOf } from './cpu.ts';
import type { Drained } from './drained.ts';
import { cpuPerEvent, type Servers } from './servers.ts';

const cpuIntervalMs = 20;

/**
 * Kafka's own yardstick, for context only: no key, no headers, whole batches to one partition at a time. Its rate is
 * what it prints; its CPU includes the start of the JVM.
 */
export async function runProducerPerformance(
  servers: Servers,
  { events, recordBytes }: { events: number; recordBytes: number },
): Promise<Drained> {
  const { command, args } = kafkaCommand('org.apache.kafka.tools.ProducerPerformance', [
    ...['--topic', benchTopic],
    ...['--num-records', String(events)],
    ...['--record-size', String(recordBytes)],
    ...['--throughput', '-1'],
    ...['--command-property', `bootstrap.servers=${servers.kafkaBrokers.join(',')}`, 'acks=all'],
  ]);
  const before = servers.cpuMs();
  const tool = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const end = () => tool.kill('SIGKILL');
  process.on('exit', end);
  let cpuMs = Number.NaN;
  const watching = setInterval(() => {
    cpuMs = cpuMsOf(tool.pid as number) ?? cpuMs;
  }, cpuIntervalMs);
  let output = '';
  tool.stdout.on('data', (chunk) => (output += String(chunk)));
  const [code] = await once(tool, 'close');
  clearInterval(watching);
  process.off('exit', end);
  // Progress first, the total at last.
  const rate = [...output.matchAll(/records sent, ([\d.]+) records\/sec/g)].at(-1)?.[1];
  if (code !== 0 || rate === undefined) throw new Error(`ProducerPerformance failed (${code}): ${output}`);
  return {
    events,
    eventsPerSecond: Number(rate),
    cpuUsPerEvent: (cpuMs * 1000) / events,
    ...cpuPerEvent(before, servers.cpuMs(), events),
    peakRssMiB: Number.NaN,
  };
}
