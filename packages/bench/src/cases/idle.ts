import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchDatabase, createBenchDatabase } from '../bench-database.ts';
import type { BenchRun } from '../bench-run.ts';
import { cpuMsOf, peakRssMiBOf } from '../cpu.ts';
import { startMeasured } from '../measured-process.ts';

/** The start is not idleness: code is compiled, leases are taken, a first low-water mark is set. */
const settleMs = 10_000;
/** How long PostgreSQL may keep its counters to itself. */
const countersLateMs = 1_500;

/** What a relay costs that has nothing to do, with each publisher. */
export async function idle(run: BenchRun): Promise<object> {
  const measured = {
    kafkajs: await measureIdle(run, 'kafkajs'),
    platformatic: await measureIdle(run, 'platformatic'),
  };
  run.table(
    `Idle for ${run.sizes.idleSeconds} s`,
    Object.entries(measured).map(([name, one]) => ({
      '': `relay ${name}`,
      'CPU % of a core': one.cpuPercent.toFixed(2),
      'PostgreSQL % of a core': one.postgresCpuPercent.toFixed(2),
      'transactions/s': one.transactionsPerSecond.toFixed(1),
      'peak MiB': String(one.peakRssMiB),
    })),
  );
  run.judge('idle', [Math.max(measured.kafkajs.cpuPercent, measured.platformatic.cpuPercent)]);
  return measured;
}

async function measureIdle(run: BenchRun, publisher: 'kafkajs' | 'platformatic') {
  const { servers, sizes } = run;
  const database = await createBenchDatabase(servers.postgresUrl);
  const relay = await startMeasured('relay', {
    postgresUrl: database.url,
    kafkaBrokers: servers.kafkaBrokers,
    publisher,
  });
  try {
    await relay.said('ready');
    await sleep(Math.min(settleMs, sizes.idleSeconds * 1000));
    const [cpuBefore, postgresBefore] = [cpuMsOf(relay.pid), servers.cpuMs().postgresMs];
    const [transactionsBefore, startMs] = [await transactions(database), performance.now()];
    await sleep(sizes.idleSeconds * 1000);
    const transactionsAfter = await transactions(database);
    const [cpuAfter, postgresAfter] = [cpuMsOf(relay.pid), servers.cpuMs().postgresMs];
    const tookMs = performance.now() - startMs;
    const percent = (from = Number.NaN, to = Number.NaN) => ((to - from) / (tookMs + countersLateMs)) * 100;
    return {
      cpuPercent: percent(cpuBefore, cpuAfter),
      postgresCpuPercent: percent(postgresBefore, postgresAfter),
      transactionsPerSecond: ((transactionsAfter - transactionsBefore - 1) / tookMs) * 1000,
      peakRssMiB: peakRssMiBOf(relay.pid),
    };
  } finally {
    await relay.stop();
    await database.drop();
  }
}

/** Of the database, so far; each statement of the relay is one. */
async function transactions(database: BenchDatabase): Promise<number> {
  await sleep(countersLateMs);
  const { rows } = await database.query(
    'SELECT xact_commit::int AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return rows[0].n;
}
