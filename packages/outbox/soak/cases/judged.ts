import type { Figures } from '@orders/dev-stack/soak';
import type { RunReport } from '../adversary/run.ts';

/** The figures of a run. */
export function figuresOf(report: RunReport): Figures {
  const { seed, events, takeovers, lost, inverted, duplicates, unexpected, rolledBack, seconds } = report;
  return {
    seed,
    events,
    takeovers,
    lost,
    inverted,
    duplicates,
    unexpected,
    rolledBack,
    lowWaterShare: report.lowWaterShare.toFixed(2),
    seconds,
  };
}

/** What of the guarantee did not hold in a run. */
export function brokenPromises(report: RunReport): (string | false)[] {
  const { lost, inverted, unexpected, examples } = report;
  return [
    lost > 0 && `${lost} events lost`,
    inverted > 0 && `${inverted} events inverted`,
    unexpected > 0 && `${unexpected} records of nobody`,
    examples.length > 0 && examples.slice(0, 3).join(', '),
  ];
}
