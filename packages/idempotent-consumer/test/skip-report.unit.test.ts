import { describe, expect, it } from 'vitest';
import { createClashReport } from '../src/operation/clash-report.ts';
import { createSkipReport } from '../src/operation/skip-report.ts';

const minutes = (n: number) => n * 60_000;

function told() {
  const entries: { level: string; fields: object }[] = [];
  const at = (level: string) => (fields: object) => {
    entries.push({ level, fields });
  };
  return { entries, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

describe('a consumer that skips everything', () => {
  const entry = { consumerName: 'c', topics: ['t'] };

  it('says so after five minutes, and again after five more', () => {
    const { entries, logger } = told();
    let nowMs = 0;
    const report = createSkipReport(logger, entry, () => nowMs);
    for (; nowMs <= minutes(11); nowMs += minutes(1)) report.skipped(10);
    expect(entries).toEqual([
      { level: 'warn', fields: { ...entry, skipped: 60 } },
      { level: 'warn', fields: { ...entry, skipped: 60 } },
    ]);
  });

  it('says nothing while now and then an event is of a type that it knows', () => {
    const { entries, logger } = told();
    let nowMs = 0;
    const report = createSkipReport(logger, entry, () => nowMs);
    for (; nowMs <= minutes(60); nowMs += minutes(1)) {
      if (nowMs % minutes(4) === 0) report.known(1);
      report.known(0);
      report.skipped(10);
      report.skipped(0);
    }
    expect(entries).toEqual([]);
  });

  it('says nothing of a topic that brings both, seldom', () => {
    const { entries, logger } = told();
    let nowMs = 0;
    const report = createSkipReport(logger, entry, () => nowMs);
    for (; nowMs <= minutes(60); nowMs += minutes(10)) {
      report.known(1);
      report.skipped(1);
    }
    expect(entries).toEqual([]);
  });
});

describe('ids that came from two topics', () => {
  it('are told at once, then once a minute, ten of them by name', () => {
    const { entries, logger } = told();
    let nowMs = 0;
    const report = createClashReport(logger, 'c', () => nowMs);
    report([]);
    expect(entries).toEqual([]);
    const ids = Array.from({ length: 15 }, (_, i) => `id-${i}`);
    report(ids);
    for (nowMs = 1_000; nowMs < 60_000; nowMs += 1_000) report(['later']);
    report(['last']);
    expect(entries.map(({ fields }) => fields)).toEqual([
      { consumerName: 'c', count: 15, eventIds: ids.slice(0, 10) },
      { consumerName: 'c', count: 60, eventIds: Array.from({ length: 10 }, () => 'later') },
    ]);
  });
});
