import { type System, type SystemService, startSystem } from '@orders/demo';
import { freePort } from '@orders/dev-stack';
import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Deployment, deploy, rollOut } from '../src/deployment.ts';
import { findings } from '../src/findings.ts';
import { type KubernetesService, startKubernetesService } from '../src/kubernetes-service.ts';
import { type Answer, startOrderLoad } from '../src/order-load.ts';
import { readRecords, settled } from '../src/records-of-a-run.ts';

/** A drain goes on serving for longer than clients are still led here. In a cluster both are longer. */
const times = { readinessPeriodMs: 500, propagationMs: 1_000 };
const api = { DRAIN_DELAY_MS: '2000' };
/** On this depends how soon Kafka's group notices a new member. */
const worker = { KAFKA_SESSION_TIMEOUT_MS: '6000' };

describe('a rolling restart under load, two replicas of each app', () => {
  let system: System;
  let service: KubernetesService;
  let deployments: Record<string, Deployment>;
  const replicas: Record<string, SystemService[]> = {};
  const answers: Answer[] = [];

  beforeAll(async () => {
    service = await startKubernetesService(times);
    system = await startSystem({
      ...testStack(),
      name: uniqueName('rollout').replaceAll(/[^a-z0-9_]/g, '_'),
      simulator: { latencyMs: 50 },
    });
    const startApi = async () => system.startApi({ env: { ...api, PORT: String(await freePort()) } });
    deployments = {
      'order-api': { start: startApi, service },
      'outbox-relay': { start: () => system.startRelay() },
      'payment-worker': { start: () => system.startWorker({ env: worker }) },
    };
    for (const [app, deployment] of Object.entries(deployments)) replicas[app] = await deploy(deployment, 2);
  });
  afterAll(async () => {
    await service?.close();
    await system?.close();
  });

  it.each(['order-api', 'outbox-relay', 'payment-worker'])(
    'of %s refuses, loses and doubles nothing',
    { timeout: 120_000 },
    async (app) => {
      const load = startOrderLoad({
        url: service.url,
        apiKey: system.apiKey,
        name: app,
        ordersPerSecond: 30,
      });
      const answered = (count: number) =>
        expect.poll(() => load.answers.length, { timeout: 30_000 }).toBeGreaterThan(count);
      await answered(30);
      const before = load.answers.length;
      const { running, endings } = await rollOut(deployments[app]!, replicas[app]!);
      replicas[app] = running;
      expect(load.answers.length).toBeGreaterThan(before + 30);
      await answered(load.answers.length + 30);
      answers.push(...(await load.stop()));

      await settled(system);
      expect(findings(answers, await readRecords(system))).toEqual([]);
      for (const { code, signal, drainLog } of endings) {
        expect({ code, signal }).toEqual({ code: 0, signal: null }); // 1 where the drain was cut off at its limit
        expect(drainLog.at(0)).toMatchObject({ signal: 'SIGTERM' });
        expect(drainLog.at(-1)).toMatchObject({ msg: 'stopped' });
        expect(drainLog.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
      }
      expect(endings).toHaveLength(2);
    },
  );
});
