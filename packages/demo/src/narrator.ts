import { styleText } from 'node:util';
import type { LogLine } from '@orders/dev-stack';

/** Tells the demo's story: parts with elapsed times, rows as tables, log lines, and checks that must hold. */
export interface Narrator {
  /** Begins the next part, numbered as in docs/DEMO.md. */
  part(title: string): void;
  say(text: string): void;
  rows(caption: string, rows: readonly Record<string, unknown>[]): void;
  logLines(service: string, lines: readonly LogLine[]): void;
  /** States a fact that was just shown. @throws Error when it does not hold: the demo ends there */
  check(fact: string, holds: boolean): void;
  /** Everything that was checked so far. */
  readonly checked: { part: string; fact: string; atMs: number }[];
}

/** Log fields that say nothing about the order. */
const plumbing = new Set(['level', 'time', 'service', 'name', 'pid', 'hostname', 'msg', 'tenantId', 'v']);

export function createNarrator(write: (line: string) => void): Narrator {
  const startedAt = performance.now();
  const checked: Narrator['checked'] = [];
  let current = '';
  let parts = 0;
  const elapsed = () => `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s`;

  return {
    checked,
    part(title) {
      current = title;
      write('');
      write(`${styleText('dim', elapsed())}  ${styleText(['bold', 'cyan'], `Part ${++parts}: ${title}`)}`);
    },
    say(text) {
      write(`${styleText('dim', elapsed())}  ${text}`);
    },
    rows(caption, rows) {
      write(`         ${styleText('dim', caption)}`);
      for (const line of table(rows)) write(`           ${line}`);
    },
    logLines(service, lines) {
      for (const line of lines) {
        const fields = Object.entries(line).filter(([name]) => !plumbing.has(name));
        const text = fields.map(([name, value]) => `${name}=${shortIds(cell(value))}`).join(' ');
        write(
          `         ${styleText('magenta', service)} ${styleText('dim', '│')} ${line.msg ?? ''} ${styleText('dim', text)}`,
        );
      }
    },
    check(fact, holds) {
      if (!holds) throw new Error(`Part ${parts} (${current}): expected that ${fact}, and it is not so`);
      checked.push({ part: current, fact, atMs: Math.round(performance.now() - startedAt) });
      write(`${styleText('dim', elapsed())}  ${styleText('green', '✔')} ${fact}`);
    },
  };
}

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return '-';
  if (value instanceof Date) return value.toISOString().slice(11, 23);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

/** The end of a UUID tells it apart from its neighbours; the beginning of a version 7 is the time. */
const shortIds = (text: string): string => text.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{4}/g, '…');

/** Rows as aligned lines, the first one naming the columns. */
function table(rows: readonly Record<string, unknown>[]): string[] {
  const first = rows[0];
  if (first === undefined) return ['(no rows)'];
  const columns = Object.keys(first);
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)));
  return lines.map((line) =>
    line
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
