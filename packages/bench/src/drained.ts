import { join } from 'node:path';
import type { BenchRun } from './bench-run.ts';
import type { Measured } from './measured/window.ts';
import { type MeasuredName, startMeasured } from './measured-process.ts';
import { cpuPerEvent } from './servers.ts';

/** What a drain took; CPU in microseconds per event, NaN where the machine does not tell. */
export interface Drained {
  readonly events: number;
  readonly eventsPerSecond: number;
  /** Of the process that publishes or consumes. */
  readonly cpuUsPerEvent: number;
  readonly postgresCpuUs: number;
  readonly kafkaCpuUs: number;
  readonly peakRssMiB: number;
}

/**
 * Starts a process that publishes or consumes, and measures the window of which it tells.
 * @param name for the profile's file
 */
export async function measureDrain(
  run: Pick<BenchRun, 'servers' | 'profileDir'>,
  name: string,
  entry: MeasuredName,
  settings: { window: { skip: number; count: number } } & Record<string, unknown>,
): Promise<Drained> {
  const { servers, profileDir } = run;
  const profile = profileDir === undefined ? {} : { profile: join(profileDir, `${name}.cpuprofile`) };
  const measuring = await startMeasured(entry, {
    kafkaBrokers: servers.kafkaBrokers,
    ...settings,
    window: { ...settings.window, ...profile },
  });
  try {
    await measuring.said('warm');
    const before = servers.cpuMs();
    const measured = await measuring.said<Measured>('measured');
    const after = servers.cpuMs();
    await measuring.said('closed');
    const { events, seconds, cpuUsPerEvent, peakRssMiB } = measured;
    const eventsPerSecond = events / seconds;
    return { events, eventsPerSecond, cpuUsPerEvent, ...cpuPerEvent(before, after, events), peakRssMiB };
  } finally {
    await measuring.stop();
  }
}
