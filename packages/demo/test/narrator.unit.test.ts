import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createNarrator } from '../src/narrator.ts';

function narrator() {
  const lines: string[] = [];
  const tell = createNarrator((line) => lines.push(stripVTControlCharacters(line)));
  return { tell, text: () => lines.join('\n') };
}

describe('the narrator', () => {
  it('ends the demo at the first fact that does not hold, naming part and fact', () => {
    const { tell } = narrator();
    tell.part('services up');
    tell.check('all is well', true);
    expect(() => tell.check('nothing was lost', false)).toThrow(
      'Part 1 (services up): expected that nothing was lost, and it is not so',
    );
    expect(tell.checked.map(({ part, fact }) => [part, fact])).toEqual([['services up', 'all is well']]);
  });

  it('shows rows as a table, also when there are none', () => {
    const { tell, text } = narrator();
    tell.rows('orders', [
      { state: 'PAID', version: 3, failure: null },
      { state: 'CREATED', version: 1, failure: { code: 'x' } },
    ]);
    tell.rows('dead letters', []);
    const lines = text().split('\n');
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['orders'],
      ['state', 'version', 'failure'],
      ['PAID', '3', '-'],
      ['CREATED', '1', '{"code":"x"}'],
      ['dead letters'],
      ['(no rows)'],
    ]);
  });

  it('shows log lines without plumbing, with the end of each id', () => {
    const { tell, text } = narrator();
    const orderId = '01a21083-9229-7477-b347-2d8d5786df59';
    tell.logLines('payment-worker', [{ level: 'info', time: 'now', msg: 'payment captured', orderId, n: 1 }]);
    expect(text().trim()).toBe('payment-worker │ payment captured orderId=…5786df59 n=1');
  });
});
