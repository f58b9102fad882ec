import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { chooseMode } from '../src/servers.ts';
import { startService } from '../src/service-process.ts';
import { acquireDevStack } from '../src/stack.ts';
import type { WantedMode } from '../src/state.ts';

const dockerAnswers = { dockerProblem: async () => undefined };
const noDocker = { dockerProblem: async () => 'nobody answers' };
const complete = { missing: async () => [] };
const lacking = { missing: async () => ['Java', 'Maven'] };

describe('the environment goes first', () => {
  afterEach(() => void vi.unstubAllEnvs());

  test('given URLs are used as they are, whatever DEV_STACK says, and nothing is started', async () => {
    vi.stubEnv('DEV_STACK_POSTGRES_URL', 'postgres://elsewhere/db');
    vi.stubEnv('DEV_STACK_KAFKA_BROKERS', 'one:9092, two:9092');
    vi.stubEnv('DEV_STACK', 'docker');
    const { mode, postgresUrl, kafkaBrokers, release } = await acquireDevStack();
    expect({ mode, postgresUrl, kafkaBrokers }).toEqual({
      mode: 'environment',
      postgresUrl: 'postgres://elsewhere/db',
      kafkaBrokers: ['one:9092', 'two:9092'],
    });
    await release();
  });

  test('one URL without the other is an error that says so', async () => {
    vi.stubEnv('DEV_STACK_POSTGRES_URL', 'postgres://elsewhere/db');
    vi.stubEnv('DEV_STACK_KAFKA_BROKERS', '');
    await expect(acquireDevStack()).rejects.toMatchObject({
      code: 'DEV_STACK_CONFIG',
      message: 'Set both DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS, or neither.',
    });
  });

  test('an unknown DEV_STACK is an error that names the known ones', async () => {
    vi.stubEnv('DEV_STACK_POSTGRES_URL', '');
    vi.stubEnv('DEV_STACK_KAFKA_BROKERS', '');
    vi.stubEnv('DEV_STACK', 'podman');
    await expect(acquireDevStack()).rejects.toMatchObject({
      code: 'DEV_STACK_CONFIG',
      message: 'DEV_STACK=podman is unknown; it may be docker or embedded.',
    });
  });
});

describe('then Docker, then embedded servers', () => {
  test.each<[WantedMode, object, object, string]>([
    ['auto', dockerAnswers, complete, 'docker'],
    ['auto', noDocker, complete, 'embedded'],
    ['embedded', dockerAnswers, complete, 'embedded'],
    ['docker', dockerAnswers, complete, 'docker'],
  ])('%s, %o, %o: %s', async (wanted, docker, embedded, chosen) => {
    const machine = { ...noDocker, ...lacking, ...docker, ...embedded };
    expect(await chooseMode(wanted, machine)).toBe(chosen);
  });

  test.each<[WantedMode, object, object]>([
    ['auto', noDocker, lacking],
    ['docker', noDocker, complete],
    ['embedded', dockerAnswers, lacking],
  ])('%s, %o, %o: not possible, and the other one is not taken instead', async (wanted, docker, embedded) => {
    const machine = { ...noDocker, ...lacking, ...docker, ...embedded };
    await expect(chooseMode(wanted, machine)).rejects.toMatchObject({ code: 'DEV_STACK_IMPOSSIBLE' });
  });
});

describe('on a machine with neither Docker nor Java nor Maven', () => {
  let machine = '';
  beforeAll(async () => {
    machine = await mkdtemp(join(tmpdir(), 'orders-bare-'));
    await symlink(process.execPath, join(machine, 'node'));
  });
  afterAll(() => rm(machine, { recursive: true, force: true }));

  async function devStack(env: Record<string, string>) {
    const service = await startService({
      name: 'dev-stack',
      entry: new URL('../src/main.ts', import.meta.url),
      env: {
        PATH: machine,
        HOME: machine,
        TMPDIR: machine,
        DOCKER_HOST: `unix://${machine}/docker.sock`,
        ...env,
      },
    });
    return { exit: await service.exited, log: service.logs.map((line) => line.msg).join('\n') };
  }

  test('one message says what to install, and nothing else is printed', async () => {
    expect(await devStack({})).toEqual({
      exit: { code: 1, signal: null },
      log: `PostgreSQL and Kafka cannot be started on this machine. Do one of these:
  - Docker: install and start a Docker engine (DOCKER_HOST: there is no ${machine}/docker.sock).
  - Embedded: install Java 17 or later (the command "java", or JAVA_HOME) and Maven (the command "mvn", to fetch Apache Kafka once).
  - Your own: set DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS.`,
    });
  });

  test('it says so when DEV_STACK forces one', async () => {
    const { log } = await devStack({ DEV_STACK: 'embedded' });
    expect(log).toContain('cannot be started on this machine as DEV_STACK=embedded asks');
    expect(log).not.toContain('Docker:');
  });
});
