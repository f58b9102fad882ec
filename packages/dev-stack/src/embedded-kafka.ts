import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import type { ServerCertificate } from './certificates.ts';
import { DevStackError } from './errors.ts';
import { freePort } from './free-port.ts';
import { ensureKafkaJars, findJava, publish } from './kafka-jars.ts';
import { kafkaSettings } from './settings.ts';
import { endOf, hasEnded, type StackHost, tailOf } from './stack-host.ts';

const clusterId = 'b3JkZXJzLWRldi1zdGFjaw'; // any 16 bytes in base64url

/** Small and quick to start rather than fast in the long run: a test broker lives for minutes. */
const jvmOptions = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

const log4jConfig = `Configuration:
  Appenders:
    Console: { name: STDOUT, PatternLayout: { pattern: "[%d] %p %m (%c)%n" } }
  Loggers:
    Root: { level: INFO, AppenderRef: [{ ref: STDOUT }] }
`;

interface EmbeddedKafka {
  brokers: string[];
  broker: ChildProcess;
  /** Starts it again, on the same data and ports, once it has ended. */
  restart(): Promise<ChildProcess>;
  /** Lets it write what speeds up the next start; the process is ended by whoever tracks it. */
  stop(): Promise<void>;
}

/**
 * A listener with TLS that knows its clients by SCRAM. Nobody may do anything that no ACL allows, but `admin`, who is
 * one of the `users`: names with their passwords.
 */
export interface SecureListener {
  readonly certificate: ServerCertificate;
  readonly users: Readonly<Record<string, string>> & { readonly admin: string };
}

/**
 * Starts one Kafka node (KRaft, broker and controller) on free ports; clients speak plain text unless told.
 * @param more settings, over the shared ones
 */
export async function startEmbeddedKafka(
  host: StackHost,
  {
    secure,
    more = {},
  }: { secure?: SecureListener | undefined; more?: Readonly<Record<string, string>> } = {},
): Promise<EmbeddedKafka> {
  const java = findJava();
  if (!java) throw new DevStackError('DEV_STACK_IMPOSSIBLE', 'Java 17 or later is needed for Kafka.');
  const cacheDir = await ensureKafkaJars(host);
  host.log('starting Kafka');
  const workDir = join(host.paths.data, 'kafka');
  const dataDir = join(workDir, 'data');
  const log4j = join(workDir, 'log4j2.yaml');
  const properties = join(workDir, 'server.properties');
  const port = await freePort();
  mkdirSync(workDir, { recursive: true });
  writeFileSync(log4j, log4jConfig);
  const ports = { port, controllerPort: await freePort() };
  const settings = {
    ...plainSettings({ ...ports, dataDir }),
    ...(secure === undefined ? {} : secureSettings(secure, { ...ports, workDir })),
    ...more,
  };
  writeFileSync(properties, inLines(settings), { mode: 0o600 });

  const classPath = ['-cp', join(cacheDir, 'libs', '*'), `-Dlog4j2.configurationFile=${log4j}`];
  const runJava = (name: string, log: string, options: string[]) => {
    const logFile = openSync(log, 'w');
    const all = [...jvmOptions, ...classPath, ...options];
    const child = spawn(java.command, all, { stdio: ['ignore', logFile, logFile] });
    host.track(name, child);
    closeSync(logFile);
    return child;
  };

  const formatted = join(cacheDir, 'formatted');
  if (secure !== undefined || !existsSync(formatted)) {
    const users = Object.entries(secure?.users ?? {}).flatMap(([name, password]) =>
      mechanisms.flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${name},password=${password}]`]),
    );
    const tool = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, ...users];
    const [code] = await once(runJava('kafka-format', host.paths.kafkaLog, tool), 'exit');
    if (code !== 0) throw notStarted(host);
    if (secure === undefined) publishCopy(dataDir, formatted);
  } else cpSync(formatted, dataDir, { recursive: true });

  const classes = classArchive(cacheDir, java.version);
  // A certificate is for a name.
  const brokers = [`${secure === undefined ? '127.0.0.1' : 'localhost'}:${port}`];
  const client = { brokers, ...(secure === undefined ? {} : adminClient(secure)) };
  const run = () =>
    untilAnswering(
      host,
      runJava('kafka', host.paths.kafkaLog, [...classes.jvmOptions, 'kafka.Kafka', properties]),
      client,
    );
  const broker = await run();
  return { brokers, broker, restart: run, stop: () => classes.stop(broker) };
}

async function untilAnswering(
  host: StackHost,
  broker: ChildProcess,
  client: KafkaConfig,
): Promise<ChildProcess> {
  const deadline = Date.now() + 120_000;
  while (!(await answers(client))) {
    if (hasEnded(broker) || Date.now() > deadline) throw notStarted(host);
    await sleep(100);
  }
  return broker;
}

/**
 * Classes parsed once and shared afterwards halve the broker's start. The first broker ever writes the archive
 * while it shuts down in order; later ones are killed, since their data is thrown away.
 */
function classArchive(cacheDir: string, javaVersion: string) {
  const archive = join(cacheDir, `classes-${javaVersion}.jsa`);
  const quiet = ['-Xlog:cds=off', '-Xlog:cds+dynamic=off'];
  if (existsSync(archive))
    return {
      jvmOptions: [`-XX:SharedArchiveFile=${archive}`, ...quiet],
      stop: async () => undefined,
    };
  const building = `${archive}.${process.pid}`;
  return {
    jvmOptions: [`-XX:ArchiveClassesAtExit=${building}`, ...quiet],
    stop: async (broker: ChildProcess) => {
      broker.kill('SIGTERM');
      await Promise.race([endOf('kafka', broker), sleep(30_000)]);
      if (existsSync(building) && broker.exitCode !== null) renameSync(building, archive);
      rmSync(building, { force: true });
    },
  };
}

/** Keeps a freshly formatted data directory, so that later stacks copy it in no time. */
function publishCopy(dataDir: string, final: string): void {
  const building = `${final}.${process.pid}`;
  cpSync(dataDir, building, { recursive: true });
  publish(building, final);
  rmSync(building, { recursive: true, force: true });
}

function notStarted(host: StackHost): DevStackError {
  const log = tailOf(host.paths.kafkaLog);
  return new DevStackError('DEV_STACK_START_FAILED', `Kafka did not start. Its log:\n${log}`);
}

async function answers(client: KafkaConfig): Promise<boolean> {
  const kafka = new Kafka({
    ...client,
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1_000,
    retry: { retries: 0 },
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers: alive, controller } = await admin.describeCluster();
    return alive.length > 0 && controller !== null;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

function plainSettings(o: { port: number; controllerPort: number; dataDir: string }): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${o.controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${o.port},CONTROLLER://127.0.0.1:${o.controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${o.port}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'log.dirs': o.dataDir,
    ...kafkaSettings,
  };
}

const mechanisms = ['SCRAM-SHA-512', 'SCRAM-SHA-256'];

/** Over the plain ones. The controller's listener stays as it is: it serves no clients, and only there is one ANONYMOUS. */
function secureSettings(
  { certificate, users }: SecureListener,
  o: { port: number; controllerPort: number; workDir: string },
): Record<string, string> {
  const keyStore = join(o.workDir, 'server.pem');
  const trustStore = join(o.workDir, 'authority.pem');
  writeFileSync(keyStore, `${certificate.key}\n${certificate.certificate}\n`, { mode: 0o600 });
  writeFileSync(trustStore, certificate.authority);
  const login = 'org.apache.kafka.common.security.scram.ScramLoginModule';
  return {
    listeners: `SASL_SSL://localhost:${o.port},CONTROLLER://127.0.0.1:${o.controllerPort}`,
    'advertised.listeners': `SASL_SSL://localhost:${o.port}`,
    'inter.broker.listener.name': 'SASL_SSL',
    'sasl.enabled.mechanisms': mechanisms.join(','),
    'sasl.mechanism.inter.broker.protocol': 'SCRAM-SHA-512',
    ...Object.fromEntries(
      mechanisms.map((mechanism) => [
        `listener.name.sasl_ssl.${mechanism.toLowerCase()}.sasl.jaas.config`,
        `${login} required username="admin" password="${users.admin}";`,
      ]),
    ),
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': keyStore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': trustStore,
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:admin;User:ANONYMOUS',
  };
}

const adminClient = ({ certificate, users }: SecureListener): Omit<KafkaConfig, 'brokers'> => ({
  ssl: { ca: certificate.authority },
  sasl: { mechanism: 'scram-sha-512', username: 'admin', password: users.admin },
});

const inLines = (settings: Record<string, string>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
