import { describe, expect, test } from 'vitest';
import { type Advisory, askAudit, judgeAudit, readAudit } from '../../src/supply/audit.ts';
import type { AuditException } from '../../src/supply/audit-exceptions.ts';
import { scratchDir } from '../scratch.ts';
import { openRegistry } from './loopback-registry.ts';

const today = '2026-03-01';
const advisory: Advisory = {
  github_advisory_id: 'GHSA-aaaa-bbbb-cccc',
  module_name: 'leftpad',
  severity: 'high',
  title: 'Pads too much',
  patched_versions: '>=1.2.4',
  findings: [{ version: '1.2.3', paths: ['apps/order-api>leftpad'] }],
};
const exception: AuditException = {
  advisory: 'GHSA-aaaa-bbbb-cccc',
  package: 'leftpad',
  reason: 'we pad nothing with it',
  expires: '2026-04-01',
};
const brief = (advisories: Advisory[], exceptions: AuditException[]) =>
  judgeAudit(advisories, exceptions, today).map(({ rule, message }) => `${rule}: ${message}`);

describe('an audit', () => {
  test('without an advisory holds', () => expect(brief([], [])).toEqual([]));

  test('with an advisory says which package, where, and what to do', () => {
    const message =
      'leftpad 1.2.3 (apps/order-api>leftpad): high, Pads too much, GHSA-aaaa-bbbb-cccc; update to >=1.2.4';
    expect(brief([advisory], [])).toEqual([`vulnerable: ${message}`]);
  });

  test('lets pass what is excepted, until the day it says', () => {
    expect(brief([advisory], [exception])).toEqual([]);
    expect(brief([advisory], [{ ...exception, expires: today }])).toEqual([]);
  });

  test.each<[string, Partial<AuditException>, string]>([
    ['has ended', { expires: '2026-02-28' }, 'ended on 2026-02-28: update the package, or judge it anew'],
    ['has no reason', { reason: ' ' }, 'has no reason'],
    ['ends on no day', { expires: 'soon' }, 'ends on no day: soon'],
    [
      'never ends',
      { expires: '2027-03-01' },
      'ends on 2027-03-01: more than 90 days are no exception but a habit',
    ],
  ])('fails by an exception that %s', (_, change, message) => {
    expect(brief([advisory], [{ ...exception, ...change }])).toEqual([`exception: ${message}`]);
  });

  test('fails by an exception that nothing needs, or that is for another package', () => {
    const unneeded = 'exception: nothing asks for it any more: delete it';
    expect(brief([], [exception])).toEqual([unneeded]);
    expect(brief([advisory], [{ ...exception, package: 'rightpad' }])).toEqual([
      expect.stringMatching(/^vulnerable: leftpad/),
      unneeded,
    ]);
  });
});

describe('what pnpm audit said', () => {
  test('a report is an answer', () => {
    const report = JSON.stringify({ advisories: { 1: advisory } });
    expect(readAudit(1, report, '')).toEqual({ kind: 'answered', advisories: [advisory] });
    expect(readAudit(0, '{"advisories":{}}', '')).toEqual({ kind: 'answered', advisories: [] });
  });

  test.each([
    ['no report', 1, 'Killed'],
    ['a report of something else', 0, '{}'],
    ['a failure beside an empty report', 1, '{"advisories":{}}'],
    ['success beside an advisory', 0, JSON.stringify({ advisories: { 1: advisory } })],
  ])('%s is an error, not a clean audit', (_, status, stdout) => {
    expect(() => readAudit(status, stdout, '')).toThrow(`pnpm audit ended with ${status}`);
  });
});

describe('pnpm audit', () => {
  const lodash = (version: string, field = 'dependencies') => ({
    'package.json': JSON.stringify({ name: 'scratch', private: true, [field]: { lodash: version } }),
    'pnpm-workspace.yaml': '',
    'pnpm-lock.yaml': `lockfileVersion: '9.0'
importers:
  .:
    ${field}:
      lodash: { specifier: ${version}, version: ${version} }
packages:
  lodash@${version}: { resolution: { integrity: sha512-${'A'.repeat(86)}== } }
snapshots:
  lodash@${version}: {}
`,
  });
  const known = (severity: string) => ({
    lodash: [
      {
        id: 1523,
        url: 'https://github.com/advisories/GHSA-p6mc-m468-83gw',
        title: 'Prototype Pollution',
        severity,
        vulnerable_versions: '>=3.7.0 <4.17.19',
      },
    ],
  });
  const ask = async (files: Record<string, string>, severity: string) =>
    askAudit(scratchDir(files), ['--registry', await openRegistry({}, known(severity))]);

  test('finds a vulnerable dependency, and only one of the level that counts, in what ships', async () => {
    const answer = await ask(lodash('4.17.15'), 'high');
    expect(answer).toMatchObject({
      kind: 'answered',
      advisories: [{ github_advisory_id: 'GHSA-p6mc-m468-83gw', module_name: 'lodash', severity: 'high' }],
    });
    const clean = { kind: 'answered', advisories: [] };
    expect(await ask(lodash('4.17.15'), 'moderate')).toEqual(clean);
    expect(await ask(lodash('4.17.21'), 'high')).toEqual(clean);
    expect(await ask(lodash('4.17.15', 'devDependencies'), 'high')).toEqual(clean);
  });

  test('does not take a registry that does not know the question, or is away, for a clean audit', async () => {
    const dir = scratchDir(lodash('4.17.15'));
    const closed = 'http://127.0.0.1:1';
    for (const [url, reason] of [
      [await openRegistry({}), "doesn't exist"],
      [closed, 'Failed to request the audit endpoint'],
    ] as const)
      expect(await askAudit(dir, ['--registry', url])).toEqual({
        kind: 'unanswered',
        reason: expect.stringContaining(reason),
      });
  });

  test('finds lodash 4.17.15 at the registry that this machine uses', async ({ skip }) => {
    const answer = await askAudit(scratchDir(lodash('4.17.15')));
    if (answer.kind === 'unanswered') skip(answer.reason);
    else expect(answer.advisories.map(({ module_name }) => module_name)).toContain('lodash');
  });
});
