import { expect, it } from 'vitest';
import { silentLogger } from '../src/logger.ts';
import { noMetrics } from '../src/metrics.ts';
import { createMarks } from '../src/relay/marks.ts';
import type { OutboxRow } from '../src/relay/outbox-rows.ts';

const rows = (count: number, bucket: number) =>
  Array.from({ length: count }, () => ({ bucket }) as OutboxRow);

/** Marks, and how many rows each statement had. `marked`: how many of them it marks, or why there is no answer. */
function marksAt({ marked = (count: number): number | Error => count, collectMs = 60_000 } = {}) {
  const statements: number[] = [];
  const repeated: boolean[] = [];
  const counts = { published: 0, marked: 0, fenced: 0, dropped: 0, deadLettered: 0 };
  const marks = createMarks(
    {
      rows: {
        mark: async (some, isRepeated = false) => {
          statements.push(some.length);
          repeated.push(isRepeated);
          const answer = marked(some.length);
          if (answer instanceof Error) throw answer;
          return answer;
        },
      },
      leases: { relayId: 'me', holds: () => true },
      logger: silentLogger,
      metrics: noMetrics,
      crashPoint: () => undefined,
      counts,
    },
    collectMs,
  );
  return { marks, statements, repeated, counts };
}

it('a few rows wait for those of other flights and are marked together, when it is time or somebody waits', async () => {
  const { marks, statements, counts } = marksAt();
  const flights = [marks.mark(rows(3, 1)), marks.mark(rows(4, 2))];
  expect(statements).toEqual([]);
  marks.hurry();
  await Promise.all(flights);
  marks.hurry();
  expect(statements).toEqual([7]);
  expect(counts).toMatchObject({ marked: 7, fenced: 0 });

  const soon = marksAt({ collectMs: 1 });
  await Promise.all([soon.marks.mark(rows(1, 1)), soon.marks.mark(rows(1, 2))]);
  expect(soon.statements).toEqual([2]);
});

it('many rows are marked at once', async () => {
  const { marks, statements } = marksAt();
  void marks.mark(rows(1, 1));
  await marks.mark(rows(100, 2));
  expect(statements).toEqual([100]);
});

it('rows whose mark is refused are counted', async () => {
  const { marks, counts } = marksAt({ marked: (count) => count - 1 });
  await marks.mark(rows(100, 1));
  expect(counts).toMatchObject({ marked: 99, fenced: 1 });
});

it('a mark without an answer is repeated, and says so: it may stand', async () => {
  const answers = [new Error('cut'), new Error('cut'), 100];
  const { marks, repeated, counts } = marksAt({ marked: () => answers.shift() ?? 0 });
  await marks.mark(rows(100, 1));
  expect(repeated).toEqual([false, true, true]);
  expect(counts).toMatchObject({ marked: 100, fenced: 0 });
});
