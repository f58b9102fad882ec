import { expect, it } from 'vitest';
import { gapsIn, gapsInAll, partitionName, slotAt, slotsAhead } from '../src/relay/partition-ranges.ts';

const at = (text: string) => Date.parse(`2026-11-25T${text}Z`);
const range = (from: string, to: string) => ({ fromMs: at(from), toMs: at(to) });
const [hourMs, dayMs] = [3_600_000, 86_400_000];

it('a slot begins where a multiple of its width since 1970 lies', () => {
  expect(slotAt(at('10:30'), hourMs)).toEqual(range('10:00', '11:00'));
  expect(slotAt(at('10:00'), hourMs)).toEqual(range('10:00', '11:00'));
  expect(slotAt(at('23:59'), dayMs).fromMs).toBe(at('00:00'));
});

it('the slots ahead begin with the present one, and leave nothing out', () => {
  expect(slotsAhead(at('10:30'), hourMs, 2)).toEqual([
    range('10:00', '11:00'),
    range('11:00', '12:00'),
    range('12:00', '13:00'),
  ]);
});

it('gaps are what no partition covers, whatever widths there have been', () => {
  const day = range('00:00', '12:00');
  expect(gapsIn(day, [])).toEqual([day]);
  expect(gapsIn(day, [{ fromMs: -Infinity, toMs: Infinity }])).toEqual([]);
  expect(gapsIn(day, [range('06:00', '07:00'), range('00:00', '01:00')])).toEqual([
    range('01:00', '06:00'),
    range('07:00', '12:00'),
  ]);
  expect(gapsIn(day, [{ fromMs: -Infinity, toMs: at('11:00') }])).toEqual([range('11:00', '12:00')]);
  expect(gapsInAll([range('02:00', '04:00'), range('01:00', '03:00')], [])).toEqual([
    range('01:00', '02:00'),
    range('02:00', '04:00'),
  ]);
});

it('a partition is named by its beginning', () => {
  expect(partitionName(slotAt(at('10:30'), dayMs))).toBe('outbox_p20261125');
  expect(partitionName(slotAt(at('10:30'), hourMs))).toBe('outbox_p20261125t1000');
});
