/** From (inclusive) to (exclusive), milliseconds since 1970. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The part of time that `atMs` lies in when it is cut into pieces of `widthMs`, the first of which begins in 1970. */
export function slotAt(atMs: number, widthMs: number): TimeRange {
  const fromMs = Math.floor(atMs / widthMs) * widthMs;
  return { fromMs, toMs: fromMs + widthMs };
}

/** The slot of `nowMs` and as many after it. */
export const slotsAhead = (nowMs: number, widthMs: number, ahead: number): TimeRange[] =>
  Array.from({ length: Math.floor(ahead) + 1 }, (_, n) => slotAt(nowMs + n * widthMs, widthMs));

/** What of `wanted` none of the others covers. They may have any width, which may have been changed meanwhile. */
export function gapsIn(wanted: TimeRange, taken: readonly TimeRange[]): TimeRange[] {
  const gaps: TimeRange[] = [];
  let { fromMs } = wanted;
  for (const other of taken.toSorted((a, b) => a.fromMs - b.fromMs)) {
    if (other.toMs <= fromMs || other.fromMs >= wanted.toMs) continue;
    if (other.fromMs > fromMs) gaps.push({ fromMs, toMs: other.fromMs });
    fromMs = other.toMs;
  }
  if (fromMs < wanted.toMs) gaps.push({ fromMs, toMs: wanted.toMs });
  return gaps;
}

/** The gaps of several ranges, which may overlap; in order. */
export function gapsInAll(wanted: readonly TimeRange[], taken: readonly TimeRange[]): TimeRange[] {
  const gaps: TimeRange[] = [];
  for (const range of wanted) gaps.push(...gapsIn(range, [...taken, ...gaps]));
  return gaps.toSorted((a, b) => a.fromMs - b.fromMs);
}

/** By its beginning, which no two share: `outbox_p20261125`, or `outbox_p20261125t1030` if that is not midnight (UTC). */
export function partitionName({ fromMs }: TimeRange): string {
  const [date = '', time = ''] = new Date(fromMs).toISOString().replaceAll(/[-:]/g, '').split('T');
  const minutes = time.slice(0, 4);
  return `outbox_p${date}${minutes === '0000' ? '' : `t${minutes}`}`;
}
