import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkHistory, type History } from '../src/testing.ts';

const check = (written: Record<string, string[]>, ...read: string[][]) => {
  const { examples: _, ...counts } = checkHistory({ written: new Map(Object.entries(written)), read });
  return counts;
};
const fine = { lost: 0, inverted: 0, duplicates: 0, unexpected: 0 };

describe('checkHistory', () => {
  it('finds nothing where every event appears once and each aggregate in order', () => {
    const written = { a: ['a1', 'a2', 'a3'], b: ['b1', 'b2'], c: ['c1'] };
    expect(check(written, ['a1', 'b1', 'a2', 'b2', 'a3'], ['c1'])).toEqual({ ...fine, events: 6 });
    expect(check({}, [])).toEqual({ ...fine, events: 0 });
  });

  it('counts what is on no partition as lost', () => {
    expect(check({ a: ['a1', 'a2', 'a3'] }, ['a1', 'a3'], [])).toMatchObject({ ...fine, lost: 1 });
    expect(check({ a: ['a1'], b: ['b1'] })).toMatchObject({ ...fine, lost: 2 });
  });

  it('counts what first appears after a later event of its aggregate as inverted', () => {
    expect(check({ a: ['a1', 'a2', 'a3'] }, ['a2', 'a3', 'a1'])).toMatchObject({ ...fine, inverted: 1 });
    expect(check({ a: ['a1', 'a2', 'a3'] }, ['a3', 'a2', 'a1'])).toMatchObject({ ...fine, inverted: 2 });
    expect(check({ a: ['a1'], b: ['b1'] }, ['b1', 'a1'])).toMatchObject(fine);
  });

  it('judges order by first appearances: a whole batch again is no inversion', () => {
    const read = ['a1', 'a2', 'a1', 'a2', 'a3'];
    expect(check({ a: ['a1', 'a2', 'a3'] }, read)).toMatchObject({ ...fine, duplicates: 2 });
  });

  it('counts as inverted what is on another partition than the earlier events of its aggregate', () => {
    expect(check({ a: ['a1', 'a2'] }, ['a1'], ['a2'])).toMatchObject({ ...fine, inverted: 1 });
    expect(check({ a: ['a1', 'a2'] }, ['a1', 'a2'], ['a2'])).toMatchObject({ ...fine, duplicates: 1 });
  });

  it('counts what nobody wrote as unexpected, every time', () => {
    expect(check({ a: ['a1'] }, ['x', 'a1', 'x'])).toMatchObject({ ...fine, unexpected: 2 });
  });

  it('says in words what it found, the first of it', () => {
    const written = new Map([['a', ['a1', 'a2', 'a3']]]);
    expect(checkHistory({ written, read: [['a3', 'a1', 'x']] }).examples).toEqual([
      'lost: a2 of a',
      'inverted: a1 appears after a3, both of a',
      'unexpected: x',
    ]);
    const many = new Map([['a', Array.from({ length: 30 }, (_, i) => `a${i}`)]]);
    expect(checkHistory({ written: many, read: [] }).examples).toHaveLength(10);
  });

  it('refuses a history in which an id is written twice', () => {
    const twice = {
      written: new Map([
        ['a', ['x']],
        ['b', ['x']],
      ]),
      read: [],
    };
    expect(() => checkHistory(twice)).toThrow(expect.objectContaining({ code: 'OUTBOX_HISTORY_INVALID' }));
  });
});

/** Aggregates of some length, and a faithful reading of them: interleaved at random over partitions. */
const faithful = fc
  .record({
    sizes: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 1, maxLength: 6 }),
    partitions: fc.integer({ min: 1, max: 3 }),
    choices: fc.infiniteStream(fc.nat(1000)),
  })
  .map(({ sizes, partitions, choices }) => {
    const written = new Map(
      sizes.map((size, a) => [`${a}`, Array.from({ length: size }, (_, n) => `${a}.${n}`)]),
    );
    const read: string[][] = Array.from({ length: partitions }, () => []);
    const waiting = [...written.values()].map((ids, a) => ({ ids: [...ids], partition: a % partitions }));
    for (;;) {
      const left = waiting.filter(({ ids }) => ids.length > 0);
      if (left.length === 0) return { written, read };
      const next = left[(choices.next().value as number) % left.length];
      read[next?.partition ?? 0]?.push(next?.ids.shift() ?? '');
    }
  });

const events = ({ written }: History) => [...written.values()].flat();

describe('checkHistory, for any history', () => {
  it('passes a faithful reading, whole batches repeated or not, and counts the repetitions', () => {
    const repeated = fc.tuple(faithful, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(20)), { maxLength: 5 }));
    fc.assert(
      fc.property(repeated, ([history, repetitions]) => {
        let duplicates = 0;
        for (const [partition, end, size] of repetitions) {
          const ids = history.read[partition % history.read.length] ?? [];
          const to = end % (ids.length + 1);
          const batch = ids.slice(Math.max(0, to - size), to);
          ids.splice(to, 0, ...batch);
          duplicates += batch.length;
        }
        expect(checkHistory(history)).toEqual({
          ...fine,
          events: events(history).length,
          duplicates,
          examples: [],
        });
      }),
    );
  });

  it('counts each event taken from the topic as lost', () => {
    fc.assert(
      fc.property(faithful, fc.func(fc.boolean()), (history, isTaken) => {
        const taken = events(history).filter(isTaken);
        const read = history.read.map((ids) => ids.filter((id) => !taken.includes(id)));
        expect(checkHistory({ ...history, read })).toMatchObject({ ...fine, lost: taken.length });
      }),
    );
  });

  it('agrees with the definition of an inversion, whatever the order on the topic', () => {
    const shuffled = faithful.chain(({ written }) =>
      fc.shuffledSubarray([...written.values()].flat()).map((ids) => ({ written, read: [ids] })),
    );
    fc.assert(
      fc.property(shuffled, (history) => {
        const at = (id: string) => history.read[0]?.indexOf(id) ?? -1;
        const inverted = [...history.written.values()].flatMap((ids) =>
          ids.filter((id, n) => ids.slice(n + 1).some((later) => at(later) >= 0 && at(later) < at(id))),
        );
        expect(checkHistory(history).inverted).toBe(inverted.length);
      }),
    );
  });
});
