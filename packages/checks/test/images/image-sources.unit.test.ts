import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { commandsToldBy } from '../../src/images/first-order.ts';
import { planImages } from '../../src/images/image-plan.ts';
import { workspaceRoot } from '../../src/workspace.ts';

const read = (file: string) => readFileSync(join(workspaceRoot, file), 'utf8');
const apps = planImages(workspaceRoot).filter(({ app }) => app !== undefined);

/** A Dockerfile without what is its app's own. */
const common = (text: string, { name, port, app }: (typeof apps)[0]) =>
  text
    .replaceAll(name, 'APP')
    .replaceAll(`${app!.portSetting}=${port}`, 'PORT')
    .replaceAll(`"${app!.portSetting}"`, '"PORT"')
    .replaceAll(`EXPOSE ${port}`, 'EXPOSE PORT');

describe('Dockerfiles', () => {
  test("the apps' differ by name and port only", () => {
    const [first, ...others] = apps.map((plan) => common(read(plan.dockerfile), plan));
    expect(first).toContain('@orders/APP');
    for (const other of others) expect(other).toBe(first);
    const changed = read('apps/order-api/Dockerfile').replace('USER 65532:65532', 'USER root');
    expect(common(changed, apps[0]!)).not.toBe(first);
  });

  test('all images have the same bases, installed by the same pnpm', () => {
    const { packageManager } = JSON.parse(read('package.json'));
    for (const { dockerfile } of planImages(workspaceRoot)) {
      const text = read(dockerfile);
      expect(text.match(/^ARG \w+_BASE=.*$/gm)).toEqual(
        read('apps/order-api/Dockerfile').match(/^ARG \w+_BASE=.*$/gm),
      );
      expect(text).toContain(`npm install --global ${packageManager}\n`);
      expect(text).not.toMatch(/^# *syntax=/m); // it would fetch a builder that nobody has pinned
    }
  });
});

test('compose.yaml begins with its four commands: start, key, order, look', () => {
  const text = read('infra/compose/compose.yaml');
  expect(commandsToldBy(text)).toEqual({
    up: expect.stringMatching(/^docker compose .* up /),
    key: expect.stringMatching(/^API_KEY=\$\(.* ordersctl keys create /),
    order: expect.stringMatching(/^curl .*\/v1\/orders .* -d /),
    look: expect.stringMatching(/^curl .*\/v1\/orders\/ID-FROM-THE-ANSWER /),
  });
  expect(() => commandsToldBy(text.replace('#   curl', '# curl'))).toThrow('four commands');
});

interface Service {
  image?: string;
  environment?: Record<string, string>;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  stop_grace_period?: string;
  depends_on?: Record<string, { condition: string }>;
}

describe('compose.yaml', () => {
  const text = read('infra/compose/compose.yaml');
  const services = Object.entries(parse(text, { merge: true }).services as Record<string, Service>);
  const ours = services.filter(([, { image }]) => image?.startsWith('orders/'));

  test('says in its first lines how to send an order', () => {
    const head = text.split('\n').slice(0, 12).join('\n');
    expect(head).toContain('docker compose -f infra/compose/compose.yaml up');
    expect(head).toContain('ordersctl keys create');
    expect(head).toMatch(/curl .*\/v1\/orders .*idempotency-key/);
  });

  test('sets nothing that docs/configuration.md does not know', () => {
    const known = new Set(
      [...read('docs/configuration.md').matchAll(/^\| `([A-Z_]+)`/gm)].map(([, name]) => name),
    );
    const set = ours.flatMap(([, { environment = {} }]) => Object.keys(environment));
    expect(new Set(set).size).toBeGreaterThan(2);
    expect(set.filter((name) => !known.has(name))).toEqual([]);
  });

  test('runs ours with nothing to write and no rights, and lets them drain', () => {
    expect(ours.length).toBe(6);
    for (const [name, service] of ours) {
      expect([name, service]).toMatchObject([
        name,
        { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] },
      ]);
    }
    const defaults = Object.fromEntries(
      [...read('docs/configuration.md').matchAll(/^\| `(\w+_MS)` \| (\d+) /gm)].map(([, name, ms]) => [
        name,
        Number(ms),
      ]),
    );
    const drainMs = (defaults.SHUTDOWN_TIMEOUT_MS ?? Number.NaN) + (defaults.DRAIN_DELAY_MS ?? Number.NaN);
    for (const { name } of apps) {
      const grace = services.find(([service]) => service === name)?.[1].stop_grace_period;
      expect(Number(/^(\d+)s$/.exec(grace ?? '')?.[1]) * 1000).toBeGreaterThan(drainMs);
    }
  });

  test('starts nothing before what it needs', () => {
    const needs = Object.fromEntries(
      services.map(([name, { depends_on = {} }]) => [name, Object.keys(depends_on)]),
    );
    expect(needs).toMatchObject({
      'order-api': ['migrate'],
      'outbox-relay': ['migrate', 'topics'],
      'payment-worker': ['migrate', 'topics', 'gateway-simulator'],
      migrate: ['postgres'],
      topics: ['kafka'],
    });
  });
});
