import { describe, expect, it } from 'vitest';
import {
  closingLine,
  outcomeOf,
  runCases,
  type SoakCase,
  type SoakOutcome,
  skipped,
  totalsOf,
} from '../src/soak.ts';

describe('the soak', () => {
  const caseOf = (name: string, run: SoakCase['run']): SoakCase => ({ name, about: name, run });
  const passed: SoakOutcome = { outcome: 'passed', figures: { events: 3 } };
  const run = async (...cases: SoakCase[]) => {
    const lines: string[] = [];
    let [acquired, released] = [0, 0];
    const results = await runCases(cases, {
      say: (line) => lines.push(line),
      acquire: async () => {
        acquired += 1;
        const release = async () => {
          released += 1;
        };
        return { postgresUrl: '', kafkaBrokers: [], release };
      },
    });
    return { lines, results, acquired, released };
  };

  it('goes on after a case that fails or throws, and counts each', async () => {
    const { results } = await run(
      caseOf('throws', () => Promise.reject(new Error('no luck'))),
      caseOf('broken', async () => outcomeOf({ lost: 2 }, ['2 events lost', false])),
      caseOf('no pooler', async () => skipped('there is none')),
      caseOf('fine', async () => outcomeOf({ lost: 0 }, [false])),
    );
    expect(results).toMatchObject([
      { name: 'throws', outcome: 'failed', reason: 'no luck' },
      { name: 'broken', outcome: 'failed', reason: '2 events lost', figures: { lost: 2 } },
      { name: 'no pooler', outcome: 'skipped', reason: 'there is none' },
      { name: 'fine', outcome: 'passed', figures: { lost: 0 } },
    ]);
    expect(closingLine(totalsOf(results))).toBe('1 passed, 2 failed, 1 skipped');
  });

  it('holds the servers from the first case that wants them to the end, and not if none does', async () => {
    const wants = (name: string) =>
      caseOf(name, async ({ servers }) => {
        await servers();
        return passed;
      });
    expect(await run(wants('one'), wants('two'))).toMatchObject({ acquired: 1, released: 1 });
    expect(await run(caseOf('none', async () => passed))).toMatchObject({ acquired: 0, released: 0 });
  });

  it('closes what a case opened, the last one first, also when it throws', async () => {
    const closed: string[] = [];
    await run(
      caseOf('opens', async ({ atEnd }) => {
        atEnd(async () => closed.push('first'));
        atEnd(async () => closed.push('second'));
        throw new Error('and fails');
      }),
    );
    expect(closed).toEqual(['second', 'first']);
  });

  it('says progress, figures and outcome', async () => {
    const { lines } = await run(
      caseOf('talks', async ({ log }) => {
        log('half of it');
        return passed;
      }),
    );
    expect(lines.map((line) => line.replaceAll(/ +/g, ' ').trim())).toEqual([
      'talks: talks',
      'talks 0 s half of it',
      'events 3',
      'talks 0 s passed',
    ]);
  });
});
