import { type ServiceOptions, type System, type SystemService, startSystem } from '@orders/demo';
import { freePort } from '@orders/dev-stack';
import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Deployment, deploy, terminate } from '../src/deployment.ts';
import { findings } from '../src/findings.ts';
import { type KubernetesService, startKubernetesService } from '../src/kubernetes-service.ts';
import { type Answer, startOrderLoad } from '../src/order-load.ts';
import { readRecords, settled } from '../src/records-of-a-run.ts';
import { checkOut, versionBefore } from '../src/version-before.ts';

const checkout = await checkOut(versionBefore);
const skipped = checkout.kind === 'missing' ? ` (skipped: ${checkout.reason})` : '';

const thisCheckout = new URL('../../../', import.meta.url);
const times = { readinessPeriodMs: 250, propagationMs: 500 };
const environment: Record<App, Record<string, string>> = {
  'order-api': { DRAIN_DELAY_MS: '3000' },
  'outbox-relay': {},
  'payment-worker': { KAFKA_SESSION_TIMEOUT_MS: '6000' },
};

type App = 'order-api' | 'outbox-relay' | 'payment-worker';
type Version = 'before' | 'this';
const apps: readonly App[] = ['order-api', 'outbox-relay', 'payment-worker'];

describe.skipIf(skipped !== '')(`two versions on one database${skipped}`, { timeout: 120_000 }, () => {
  let system: System;
  let service: KubernetesService;
  const running: Record<App, SystemService[]> = { 'order-api': [], 'outbox-relay': [], 'payment-worker': [] };
  const answers: Answer[] = [];
  let loads = 0;

  beforeAll(async () => {
    service = await startKubernetesService(times);
    system = await startSystem({
      ...testStack(),
      ...checkoutOf('before'),
      name: uniqueName('versions').replaceAll(/[^a-z0-9_]/g, '_'),
      simulator: { latencyMs: 20 },
    });
  }, 60_000);
  afterAll(async () => {
    await service?.close();
    await system?.close();
  });

  const checkoutOf = (version: Version) =>
    version === 'before' && checkout.kind === 'there' ? { checkout: checkout.url } : {};

  async function start(app: App, version: Version): Promise<SystemService> {
    const options: ServiceOptions = { ...checkoutOf(version), env: environment[app] };
    if (app === 'outbox-relay') return system.startRelay(options);
    if (app === 'payment-worker') return system.startWorker(options);
    return system.startApi({ ...options, env: { ...options.env, PORT: String(await freePort()) } });
  }
  const deploymentOf = (app: App, version: Version): Deployment => ({
    start: () => start(app, version),
    ...(app === 'order-api' ? { service } : {}),
  });

  /** Replaces what runs of an app by one replica of each of the versions. */
  async function roll(app: App, ...versions: Version[]): Promise<void> {
    const added: SystemService[] = [];
    for (const version of versions) added.push(...(await deploy(deploymentOf(app, version), 1)));
    for (const replica of running[app]) {
      const { code, signal } = await terminate(deploymentOf(app, 'this'), replica);
      expect({ code, signal }).toEqual({ code: 0, signal: null });
    }
    running[app] = added;
  }

  /** Orders come in while something is done; afterwards all is settled, and nothing lost, doubled or out of order. */
  async function underLoad(work: () => Promise<unknown>): Promise<void> {
    const load = startOrderLoad({
      url: service.url,
      apiKey: system.apiKey,
      name: `load-${++loads}`,
      ordersPerSecond: 20,
    });
    const answered = (count: number) =>
      expect.poll(() => load.answers.length, { timeout: 30_000 }).toBeGreaterThan(count);
    await answered(10);
    await work();
    await answered(load.answers.length + 20);
    answers.push(...(await load.stop()));
    await settled(system);
    expect(findings(answers, await readRecords(system))).toEqual([]);
  }

  it('this version refuses the schema of the one before, and says what is missing and what to do', async () => {
    for (const app of apps)
      await expect(start(app, 'this')).rejects.toThrow(
        /DB_SCHEMA_BEHIND.*lacks 0007-statements of outbox.*run \\"ordersctl migrate\\"/s,
      );
  });

  it('the version before works on while this one migrates, and starts afterwards', async () => {
    for (const app of apps) await roll(app, 'before');
    await underLoad(async () => {
      const { applied } = await system.ordersctl(['migrate'], thisCheckout);
      expect(applied).toContainEqual({ set: 'outbox', migration: '0007-statements' });
      for (const app of apps) await roll(app, 'before');
    });
  });

  it('this order-api goes with the relay and the worker of the version before', async () => {
    await underLoad(() => roll('order-api', 'this'));
  });

  it('both versions of the relay and of the worker run side by side', async () => {
    await underLoad(async () => {
      await roll('outbox-relay', 'before', 'this');
      await roll('payment-worker', 'before', 'this');
    });
  });

  it('the order-api of the version before goes with this relay and this worker', async () => {
    await underLoad(async () => {
      await roll('order-api', 'before');
      await roll('outbox-relay', 'this');
      await roll('payment-worker', 'this');
    });
  });

  it('a rollback: the version before takes up what this one has written', async () => {
    await underLoad(() => roll('order-api', 'this'));
    await underLoad(async () => {
      for (const app of apps) await roll(app, 'before');
    });
  });
});
