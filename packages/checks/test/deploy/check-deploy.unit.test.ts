import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';

const program = join(workspaceRoot, 'packages/checks/src/check-deploy.ts');

interface Run {
  code: number;
  lines: string[];
}

/** The command itself. */
function run(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Run> {
  return new Promise((done) => {
    execFile(process.execPath, [program, ...args], { env: { ...env } }, (error, stdout) => {
      done({ code: error ? Number(error.code) : 0, lines: stdout.trimEnd().split('\n') });
    });
  });
}

/** What the command reads of one environment, in a folder of its own. */
function checkout(environment: string): {
  dir: string;
  edit: (file: string, from: string, to: string) => void;
} {
  const dir = scratchDir();
  const copy = (path: string) => cpSync(join(workspaceRoot, path), join(dir, path), { recursive: true });
  copy('infra/helm');
  copy(`infra/k8s/${environment}`);
  for (const app of ['order-api', 'outbox-relay', 'payment-worker']) {
    for (const name of ['values', `values.${environment}`]) copy(`apps/${app}/helm/${name}.yaml`);
    symlinkSync(join(workspaceRoot, 'apps', app, 'src'), join(dir, 'apps', app, 'src'));
  }
  mkdirSync(join(dir, 'packages'));
  symlinkSync(join(workspaceRoot, 'packages/ordersctl'), join(dir, 'packages/ordersctl'));
  const edit = (file: string, from: string, to: string) => {
    const text = readFileSync(join(dir, file), 'utf8');
    expect(text).toContain(from);
    writeFileSync(join(dir, file), text.replace(from, to));
  };
  return { dir, edit };
}

const helm = inject('helm');
const skipped = helm.kind === 'missing' ? ` (skipped: ${helm.reason})` : '';

describe.skipIf(skipped !== '')(`pnpm check:deploy${skipped}`, { timeout: 180_000 }, () => {
  test('passes what is checked in', async () => {
    const { code, lines } = await run([]);
    expect({ code, last: lines.at(-1) }).toEqual({
      code: 0,
      last: expect.stringMatching(/^6 releases, .* all hold\.$/),
    });
  });

  test.each<[string, file: string, from: string, to: string, expected: string]>([
    [
      'a value that the schema does not know',
      'apps/order-api/helm/values.production.yaml',
      'autoscaling: {',
      'replica: 2\nautoscaling: {',
      'apps/order-api/helm/values.production.yaml  lint: ',
    ],
    [
      'a grace period shorter than the drain',
      'apps/outbox-relay/helm/values.production.yaml',
      'replicas: 2',
      'terminationGracePeriodSeconds: 5\nreplicas: 2',
      'the drain needs 30',
    ],
    [
      'a manifest that has drifted',
      'infra/k8s/production/order-api.yaml',
      'cpu: 250m',
      'cpu: 300m',
      'is not what helm renders: run pnpm check:deploy --write',
    ],
    [
      'a field that Kubernetes does not know',
      'infra/k8s/dev/kafka.yaml',
      'serviceName: kafka',
      'servicename: kafka',
      'infra/k8s/dev/kafka.yaml StatefulSet/kafka  schema: /spec must NOT have additional properties (servicename)',
    ],
    [
      'a setting that the app refuses, in values and manifests',
      'infra/k8s/dev/outbox-relay.yaml',
      'LOG_LEVEL: info',
      'LOG_LEVEL: loud',
      'settings: outbox-relay: LOG_LEVEL must be one of',
    ],
    [
      'a development server as root',
      'infra/k8s/dev/postgres.yaml',
      'runAsNonRoot: true, ',
      '',
      'infra/k8s/dev/postgres.yaml StatefulSet/postgres  pod-security: postgres: runAsNonRoot is not true',
    ],
  ])('fails by %s', async (_, file, from, to, expected) => {
    const { dir, edit } = checkout(/production/.test(file) ? 'production' : 'dev');
    edit(file, from, to);
    const { code, lines } = await run(['--root', dir]);
    expect(code).toBe(1);
    expect(lines.join('\n')).toContain(expected);
    expect(lines.at(-1)).toMatch(/^\d+ findings in 3 releases/);
  });

  test('a file that kubectl would apply and nobody looks at is found', async () => {
    const { dir } = checkout('production');
    writeFileSync(join(dir, 'infra/k8s/production/secret.yml'), '');
    const { code, lines } = await run(['--root', dir]);
    expect(code).toBe(1);
    expect(lines.join('\n')).toContain('infra/k8s/production/secret.yml  file: kubectl would apply it');
  });

  test('--write mends what has drifted, and removes what no app renders', async () => {
    const { dir, edit } = checkout('production');
    edit('apps/outbox-relay/helm/values.production.yaml', 'replicas: 2', 'replicas: 3');
    const manifest = join(dir, 'infra/k8s/production/outbox-relay.yaml');
    cpSync(manifest, join(dir, 'infra/k8s/production/old-relay.yaml'));
    const { code, lines } = await run(['--root', dir, '--json']);
    const { findings } = JSON.parse(lines.join('\n')) as { findings: { rule: string; where: string }[] };
    const drifted = findings.filter(({ rule }) => rule === 'drift').map(({ where }) => where.split(':')[0]);
    expect({ code, drifted }).toEqual({
      code: 1,
      drifted: ['infra/k8s/production/outbox-relay.yaml', 'infra/k8s/production/old-relay.yaml'],
    });
    expect(await run(['--root', dir, '--write'])).toMatchObject({ code: 0 });
    expect(readFileSync(manifest, 'utf8')).toContain('replicas: 3');
    expect(await run(['--root', dir])).toMatchObject({ code: 0 });
  });
});

test('without helm and without Go, pnpm check:deploy checks nothing, and says so', async () => {
  const env = { PATH: scratchDir(), XDG_CACHE_HOME: scratchDir() };
  expect(await run([], env)).toEqual({
    code: 77,
    lines: ['skipped: neither helm nor Go, to build it, is installed'],
  });
  expect(await run(['--json'], env)).toEqual({ code: 77, lines: [expect.stringContaining('"skipped":')] });
});

test('--help says what it does', async () => {
  const { code, lines } = await run(['--help']);
  expect(code).toBe(0);
  expect(lines.join('\n')).toContain('Usage: pnpm check:deploy');
});
