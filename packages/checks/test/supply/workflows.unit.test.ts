import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { listApps } from '../../src/supply/sbom.ts';
import { checkWorkflow, checkWorkflows, writeGrants } from '../../src/supply/workflows.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';

const sha = '0123456789abcdef0123456789abcdef01234567';
const good = `on:
  push:
  pull_request:
permissions:
  contents: read
jobs:
  build:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@${sha} # v7.0.1
        with:
          persist-credentials: false
      - uses: owner/action/part@${sha} # v1.2.3
      - uses: ./.github/actions/own
      - run: echo "$TITLE"
        env:
          TITLE: \${{ github.event.pull_request.title }}
`;
const released = good
  .replace('  pull_request:\n', '')
  .replace('timeout-minutes: 5', 'permissions: {contents: write}\n    timeout-minutes: 5');
const brief = (text: string, grants = {}) =>
  checkWorkflow('.github/workflows/x.yml', text, grants).map(({ rule, where }) => `${rule} ${where}`);

test("the checkout's workflows hold", () => {
  expect(checkWorkflows(workspaceRoot)).toEqual([]);
});

test('CI runs .ci/run and builds the images, with the pnpm of the workspace everywhere', () => {
  const read = (file: string) => readFileSync(join(workspaceRoot, file), 'utf8');
  const { packageManager } = JSON.parse(read('package.json'));
  const { jobs } = parse(read('.github/workflows/ci.yml'));
  const steps = Object.values(jobs as Record<string, { steps: { run?: string }[] }>).flatMap(
    (one) => one.steps,
  );
  expect(steps.map(({ run }) => run)).toEqual(
    expect.arrayContaining(['.ci/run', `npx --yes ${packageManager} images`]),
  );
  for (const file of [
    '.ci/run',
    'README.md',
    'CONTRIBUTING.md',
    '.github/workflows/ci.yml',
    '.github/workflows/release.yml',
  ])
    expect([file, ...new Set(read(file).match(/pnpm@[\d.]+\d/g))]).toEqual([file, packageManager]);
});

test('a release builds every app, with arguments that its Dockerfile knows', () => {
  const read = (file: string) => readFileSync(join(workspaceRoot, file), 'utf8');
  const { strategy, steps } = parse(read('.github/workflows/release.yml')).jobs.images;
  const apps: string[] = strategy.matrix.app;
  expect(apps.map((app) => `apps/${app}`)).toEqual(listApps(workspaceRoot).map(({ folder }) => folder));
  const build = steps.find(({ id }: { id?: string }) => id === 'build').with;
  const given = [...build['build-args'].matchAll(/^(\w+)=/gm)].map(([, name]) => name);
  expect(given.length).toBeGreaterThan(4);
  for (const app of apps) {
    const known = [...read(`apps/${app}/Dockerfile`).matchAll(/^ARG (\w+)/gm)].map(([, name]) => name);
    expect(known).toEqual(expect.arrayContaining(given));
  }
});

test('no grant is left over', () => {
  const rules = checkWorkflows(workspaceRoot, {}).map(({ rule, where }) => `${rule} ${where}`);
  const granted = Object.entries(writeGrants).flatMap(([file, jobs]) =>
    Object.entries(jobs).flatMap(([job, scopes]) =>
      scopes.map(() => `grant .github/workflows/${file} ${job}`),
    ),
  );
  expect(rules.toSorted()).toEqual(granted.toSorted());
});

test('a checkout without a workflow does not hold', () => {
  expect(checkWorkflows(scratchDir())).toMatchObject([{ rule: 'nothing-seen' }]);
});

test('what is well done passes, and a grant lets a job write', () => {
  expect(brief(good)).toEqual([]);
  expect(brief(released, { 'x.yml': { build: ['contents'] } })).toEqual([]);
});

const job = '.github/workflows/x.yml build';
const line = (n: number) => `.github/workflows/x.yml:${n}`;

describe('every rule can fail', () => {
  test.each<[string, string, string[]]>([
    ['a tag', good.replace(`part@${sha}`, 'part@v1.2.3'), [`pinned ${line(14)}`]],
    ['half a commit', good.replace(`part@${sha}`, `part@${sha.slice(20)}`), [`pinned ${line(14)}`]],
    ['no version beside the commit', good.replace(' # v1.2.3', ''), [`pinned ${line(14)}`]],
    ['a version that moves', good.replace('# v1.2.3', '# v1'), [`pinned ${line(14)}`]],
    ['an image', good.replace(`owner/action/part@${sha}`, 'docker://alpine'), [`pinned ${line(14)}`]],
    [
      'an expression in a script',
      good.replace('$TITLE', `\${{ github.event.pull_request.title }}`),
      [`expression ${line(16)}`],
    ],
    [
      'an expression in a script of several lines',
      good.replace('run: echo "$TITLE"', `run: |\n          echo "\${{ github.head_ref }}"`),
      [`expression ${line(16)}`],
    ],
    [
      'no permissions',
      good.replace('permissions:\n  contents: read\n', ''),
      ['permissions .github/workflows/x.yml'],
    ],
    [
      'write-all',
      good.replace('permissions:\n  contents: read', 'permissions: write-all'),
      ['permissions .github/workflows/x.yml'],
    ],
    [
      'permissions that write',
      good.replace('contents: read', 'packages: write'),
      ['permissions .github/workflows/x.yml'],
    ],
    ['a job that writes without a grant', released, [`grant ${job}`]],
    [
      'a job that signs and runs what the workspace installs',
      released.replace('contents: write', 'id-token: write').replace('run: echo', 'run: npx vitest; echo'),
      [`grant ${job}`, `signing ${job}`],
    ],
    [
      'an expression in the script of an action',
      good.replace(
        'persist-credentials: false',
        `persist-credentials: false\n          script: \${{ github.head_ref }}`,
      ),
      [`expression ${line(14)}`],
    ],
    [
      'pull_request_target',
      good.replace('pull_request:', 'pull_request_target:'),
      ['trigger .github/workflows/x.yml'],
    ],
    [
      'issue_comment in a list',
      good.replace('on:\n  push:\n  pull_request:', 'on: [push, issue_comment]'),
      ['trigger .github/workflows/x.yml'],
    ],
    ['no timeout', good.replace('    timeout-minutes: 5\n', ''), [`timeout ${job}`]],
    [
      'a checkout that keeps the token',
      good.replace('        with:\n          persist-credentials: false\n', ''),
      [`checkout ${job}`],
    ],
    [
      'a checkout that keeps it on purpose',
      good.replace('credentials: false', 'credentials: true'),
      [`checkout ${job}`],
    ],
    ['no YAML', 'on: [', ['syntax .github/workflows/x.yml']],
  ])('%s', (_, text, expected) => {
    expect(text).not.toBe(good);
    expect(brief(text)).toEqual(expected);
  });

  test('a job that writes on pull requests, though it is granted', () => {
    const text = released.replace('  push:\n', '  push:\n  pull_request:\n');
    expect(brief(text, { 'x.yml': { build: ['contents'] } })).toEqual([`grant ${job}`]);
  });
});
