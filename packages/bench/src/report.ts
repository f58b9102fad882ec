import type { JudgedBar } from './bars.ts';
import type { Row } from './bench-run.ts';

/** A table for people; the first column to the left, figures to the right. */
export function tableLines(title: string, rows: readonly Row[]): string[] {
  const columns = Object.keys(rows[0] ?? {});
  const width = (column: string) => Math.max(column.length, ...rows.map((row) => (row[column] ?? '').length));
  const line = (cell: (column: string) => string) =>
    columns
      .map((column, i) =>
        i === 0 ? cell(column).padEnd(width(column)) : cell(column).padStart(width(column)),
      )
      .join('  ');
  return ['', title, line((column) => column), ...rows.map((row) => line((column) => row[column] ?? '')), ''];
}

/** One bar, and whether it holds. */
export function barLine({ name, value, bar, holds, ok, rounds, about }: JudgedBar): string {
  const range = `[${Math.min(...rounds).toPrecision(3)}-${Math.max(...rounds).toPrecision(3)}]`;
  const sign = holds === 'at-least' ? '≥' : '≤';
  const verdict = ok ? 'holds' : 'FALLS SHORT';
  return `${name.padEnd(25)} ${value.toPrecision(3).padStart(6)} ${range}  ${sign} ${bar}  ${verdict}   ${about}`;
}

/** How the run ended. */
export function closingLines(run: {
  bars: readonly JudgedBar[];
  broken: readonly { case: string; reason: string }[];
  reductions: readonly string[];
  noise: readonly string[];
}): string[] {
  const { bars, broken, reductions } = run;
  const short = bars.filter(({ ok }) => !ok).length;
  return [
    '',
    'Bars (median of the rounds [range])',
    ...bars.map(barLine),
    ...broken.map(({ case: name, reason }) => `${name} broke: ${reason}`),
    ...run.noise,
    reductions.length === 0
      ? 'Full size.'
      : `NOT A BAR RUN, the figures above say nothing about the bars: ${reductions.join('; ')}.`,
    `${bars.length - short} bars hold, ${short} fall short, ${broken.length} cases broke`,
  ];
}
