import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { checkInstallSettings, judgeInstallSettings } from '../../src/supply/install-settings.ts';
import { runPnpm } from '../../src/supply/pnpm.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';
import { openRegistry, type Release } from './loopback-registry.ts';

const text = readFileSync(join(workspaceRoot, 'pnpm-workspace.yaml'), 'utf8');
const settings = parse(text) as Record<string, unknown>;
const brief = (yaml: string) => judgeInstallSettings(yaml).map(({ rule, message }) => `${rule}: ${message}`);

test("the checkout's settings hold", () => {
  expect(checkInstallSettings(workspaceRoot)).toEqual([]);
});

test("engines are judged by the workspace's own Node", () => {
  const manifest = JSON.parse(readFileSync(join(workspaceRoot, 'package.json'), 'utf8'));
  expect(settings.nodeVersion).toBe(manifest.devDependencies.node);
});

describe('a setting that is missing, weakened or switched off is found', () => {
  const without = (name: string) => stringify({ ...settings, [name]: undefined });
  test.each([
    ['minimumReleaseAge', without('minimumReleaseAge'), 'setting: minimumReleaseAge is not set'],
    ['its strictness', without('minimumReleaseAgeStrict'), 'setting: minimumReleaseAgeStrict is not set'],
    ['trustPolicy', without('trustPolicy'), 'setting: trustPolicy is not set'],
    ['blockExoticSubdeps', without('blockExoticSubdeps'), 'setting: blockExoticSubdeps is not set'],
    ['strictDepBuilds', without('strictDepBuilds'), 'setting: strictDepBuilds is not set'],
    ['preferFrozenLockfile', without('preferFrozenLockfile'), 'setting: preferFrozenLockfile is not set'],
    [
      'allowBuilds',
      without('allowBuilds'),
      'setting: allowBuilds is not set: name the packages that may run a script',
    ],
    ['a day only', stringify({ ...settings, minimumReleaseAge: 1440 }), 'setting: minimumReleaseAge is 1440'],
    [
      'a lockfile that is not verified',
      `${text}\ntrustLockfile: true\n`,
      'setting: trustLockfile must not be set',
    ],
    [
      'scripts of all packages',
      `${text}\ndangerouslyAllowAllBuilds: true\n`,
      'setting: dangerouslyAllowAllBuilds must not be set',
    ],
    ['audit exceptions', `${text}\naudit: { ignore: [GHSA-1] }\n`, 'setting: audit must not be set'],
  ])('%s', (_, yaml, expected) => {
    expect(brief(yaml)).toContain(expected);
  });
});

describe('an exclusion names one version and its reason', () => {
  const held = stringify({ ...settings, minimumReleaseAgeExclude: undefined, trustPolicyExclude: undefined });
  test.each<[string, string, string[]]>([
    ['above it', '\n  # CVE fix\n  - a@1.2.3', []],
    ['beside it', '\n  - "@a/b@1.2.3" # CVE fix', []],
    ['above the second', '\n  # one\n  - a@1.2.3\n  # two\n  - b@1.0.0', []],
    ['none', '\n  - a@1.2.3', ['exclusion: a@1.2.3: say why in a comment above it or beside it']],
    [
      'none for the second',
      '\n  # one\n  - a@1.2.3\n  - b@1.0.0',
      ['exclusion: b@1.0.0: say why in a comment above it or beside it'],
    ],
    [
      'all versions',
      '\n  # ours\n  - "@a/*"',
      ['exclusion: @a/*: exclude one version, name@1.2.3, not all to come'],
    ],
    [
      'a range',
      '\n  - a@^1.2.3 # ours',
      ['exclusion: a@^1.2.3: exclude one version, name@1.2.3, not all to come'],
    ],
    [
      'a major version',
      '\n  - a@1 # ours',
      ['exclusion: a@1: exclude one version, name@1.2.3, not all to come'],
    ],
    ['no list', ' a@1.2.3', ['exclusion: minimumReleaseAgeExclude is no list of packages']],
  ])('%s', (_, list, expected) => {
    expect(brief(`${held}minimumReleaseAgeExclude:${list}\n`)).toEqual(expected);
    expect(brief(`${held}trustPolicyExclude:${list}\n`)).toEqual(
      expected.map((one) => one.replace('minimumReleaseAgeExclude', 'trustPolicyExclude')),
    );
  });
});

// pnpm itself, with the settings of this checkout, against a registry whose packages are as they must not be.
describe('pnpm', () => {
  const inScratch = Object.entries(settings).filter(
    ([name]) => !['packages', 'allowBuilds', 'catalog', 'verifyDepsBeforeRun'].includes(name),
  );
  const scratchSettings = Object.fromEntries(inScratch);
  const old: Release = { version: '1.0.0', age: 100 };
  const settled: Release = { version: '1.0.1', age: 50 };

  /** A project that installs `leaf` 1.0.1 from a registry that has these releases of it. */
  async function makeProject(leaf: readonly Release[]) {
    const registry = await openRegistry({ leaf });
    const dir = scratchDir({
      'package.json': JSON.stringify({ name: 'scratch', private: true, dependencies: { leaf: '1.0.1' } }),
      'pnpm-workspace.yaml': stringify(scratchSettings),
    });
    const install = async (...more: string[]) => {
      const args = ['install', '--registry', registry, '--store-dir', join(dir, '.store'), ...more];
      const environment = { CI: 'true', XDG_CACHE_HOME: join(dir, '.cache') };
      const { status, stdout, stderr } = await runPnpm(dir, args, environment);
      // Its errors are wrapped.
      return { status, output: `${stdout}${stderr}`.replaceAll(/[\s│]+/g, ' ') };
    };
    return { dir, install };
  }

  test('installs what is as it should be', async () => {
    const { dir, install } = await makeProject([old, settled]);
    expect(await install()).toMatchObject({ status: 0 });
    expect(readFileSync(join(dir, 'node_modules/leaf/package.json'), 'utf8')).toContain('1.0.1');
  });

  const stray = { dependencies: {} as Record<string, string> };
  test.each<[string, Release[], object, string]>([
    [
      'a release that is too young',
      [old, { ...settled, age: 1 }],
      { minimumReleaseAge: 0 },
      'ERR_PNPM_NO_MATURE_MATCHING_VERSION',
    ],
    [
      'a release without the provenance that an older one has',
      [{ ...old, attested: true }, settled],
      { trustPolicy: 'off' },
      'High-risk trust downgrade for "leaf@1.0.1"',
    ],
    [
      'a dependency of a dependency that comes from no registry',
      [old, { ...settled, manifest: stray }],
      { blockExoticSubdeps: false },
      'ERR_PNPM_EXOTIC_SUBDEP',
    ],
    [
      'a build script that allowBuilds does not name',
      [old, { ...settled, manifest: { scripts: { postinstall: 'node --version' } } }],
      { strictDepBuilds: false },
      'ERR_PNPM_IGNORED_BUILDS',
    ],
  ])('refuses %s, by its setting', async (_, leaf, off, expected) => {
    stray.dependencies.stray = `${await openRegistry({ stray: [old] })}/stray/-/stray-1.0.0.tgz`;
    const { dir, install } = await makeProject(leaf);
    const { status, output } = await install();
    expect(output).toContain(expected);
    expect(status).not.toBe(0);
    rmSync(join(dir, 'pnpm-lock.yaml'), { force: true });
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), stringify({ ...scratchSettings, ...off }));
    expect(await install()).toMatchObject({ status: 0 });
  });

  test.each([[], ['--frozen-lockfile']])(
    'refuses a lockfile that does not fit package.json, on CI %s',
    async (...flags) => {
      const { dir, install } = await makeProject([old, settled]);
      expect(await install()).toMatchObject({ status: 0 });
      const manifest = join(dir, 'package.json');
      writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('1.0.1', '1.0.0'));
      const { status, output } = await install(...flags);
      expect(output).toContain('ERR_PNPM_OUTDATED_LOCKFILE');
      expect(status).not.toBe(0);
    },
  );

  test('refuses a setting that it does not know', async () => {
    const { dir, install } = await makeProject([old, settled]);
    writeFileSync(join(dir, 'pnpm-workspace.yaml'), stringify({ ...scratchSettings, minimumReleaseAges: 1 }));
    expect((await install()).output).toContain('minimumReleaseAges');
  });
});
