import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerMetrics } from '../metrics.ts';
import type { MemberStatus } from './member-status.ts';

/** Sets the gauges from a member's status, again and again. What is not known keeps its last value. */
export async function reportStatus(
  metrics: ConsumerMetrics,
  status: () => Promise<MemberStatus>,
  { stop, intervalMs = 10_000 }: { readonly stop: AbortSignal; readonly intervalMs?: number },
): Promise<void> {
  while (!stop.aborted) {
    setGauges(metrics, await status());
    await sleep(intervalMs, undefined, { signal: stop }).catch(() => undefined);
  }
}

function setGauges(metrics: ConsumerMetrics, status: MemberStatus): void {
  const { lagRecords, lagMs, oldestNotAccepted, stored } = status;
  if (lagRecords !== null) metrics.lagRecords.set(lagRecords);
  if (lagMs !== null) metrics.lagSeconds.set(lagMs / 1000);
  metrics.oldestNotAcceptedSeconds.set((oldestNotAccepted?.ageMs ?? 0) / 1000);
  metrics.paused.set(Number(status.isPaused));
  metrics.killSwitchOpen.set(Number(status.killSwitch !== null));
  if (stored === null) return;
  metrics.scheduledWaiting.set(stored.scheduled.count);
  metrics.deadLettersWaiting.set(stored.dead.count);
  metrics.blockedKeys.set(stored.blockedKeys.count);
  metrics.oldestScheduledSeconds.set((stored.oldestScheduledAgeMs ?? 0) / 1000);
}
