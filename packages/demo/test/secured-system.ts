import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startGatewaySimulator, startService } from '@orders/dev-stack';
import { certify, startOwnKafka, startOwnPostgres } from '@orders/dev-stack/own-servers';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  type KafkaConfig,
  logLevel,
  ResourcePatternTypes,
} from 'kafkajs';
import pg from 'pg';
import { parseAllDocuments } from 'yaml';
import { createOrderClient } from '../src/order-client.ts';
import { createServices } from '../src/services.ts';
import { ordersctlMain, serviceMain } from '../src/workspace.ts';

type Environment = Record<string, string>;
export type SecuredSystem = Awaited<ReturnType<typeof startSecuredSystem>>;

const examples = new URL('../../../infra/k8s/examples/', import.meta.url);
const secret = (): string => randomBytes(12).toString('hex');
const principals = ['orders-admin', 'outbox-relay', 'payment-worker'] as const;
type Principal = (typeof principals)[number];

/** The database roles as docs/security.md has an administrator make them; passwords are drawn. */
const roles = ['orders_owner', 'order_api', 'outbox_relay', 'payment_worker'] as const;
type Role = (typeof roles)[number];

/**
 * PostgreSQL and Kafka that take TLS and SCRAM only, and everybody with an identity of his own. The rights are those
 * of `ordersctl grants apply` and of infra/k8s/examples/kafka-users.yaml.
 */
export async function startSecuredSystem() {
  const dir = mkdtempSync(join(tmpdir(), 'orders-secured-'));
  const certificate = await certify('localhost');
  const caFile = join(dir, 'ca.crt');
  writeFileSync(caFile, certificate.authority);
  const strangersCaFile = join(dir, 'stranger.crt');
  writeFileSync(strangersCaFile, (await certify('localhost')).authority);

  const users = { admin: secret(), ...passwordsOf(principals) };
  const [postgres, kafka] = await Promise.all([
    startOwnPostgres({ certificate }),
    startOwnKafka({ certificate, users }),
  ]);
  const brokers = kafka.brokers;
  const clientOf = (username: Principal | 'admin', change: Partial<KafkaConfig> = {}) =>
    new Kafka({
      brokers,
      logLevel: logLevel.NOTHING,
      retry: { retries: 2, initialRetryTime: 50 },
      ssl: { ca: certificate.authority },
      sasl: { mechanism: 'scram-sha-512', username, password: users[username] },
      ...change,
    });
  await applyAcls(clientOf('admin'));

  const passwords = passwordsOf(roles);
  const urlOf = (
    role: Role,
    change: { name?: string; host?: string; password?: string; query?: string } = {},
  ): string => {
    const url = new URL(postgres.url);
    url.username = change.name ?? role;
    url.password = change.password ?? passwords[role];
    url.hostname = change.host ?? 'localhost';
    url.pathname = '/orders';
    return `${url.href}?${change.query ?? `sslmode=verify-full&sslrootcert=${caFile}`}`;
  };
  const administer = (...statements: string[]) => asAdministrator(postgres.url, caFile, statements);
  await administer(...rolesToMake(passwords), 'CREATE DATABASE orders OWNER orders_owner');

  const kafkaEnvironment = (principal: Principal): Environment => ({
    KAFKA_BROKERS: brokers.join(','),
    KAFKA_TLS: 'true',
    KAFKA_CA_FILE: caFile,
    KAFKA_SASL_USERNAME: principal,
    KAFKA_SASL_PASSWORD: users[principal],
  });
  const simulator = await startGatewaySimulator({ successRate: 1, latencyMs: 20 });
  const port = String(await freePort());
  const environments = {
    'order-api': { DATABASE_URL: urlOf('order_api'), PORT: port, HOST: '127.0.0.1' },
    'outbox-relay': { DATABASE_URL: urlOf('outbox_relay'), ...kafkaEnvironment('outbox-relay') },
    'payment-worker': {
      DATABASE_URL: urlOf('payment_worker'),
      ...kafkaEnvironment('payment-worker'),
      GATEWAY_URL: simulator.url,
      KAFKA_SESSION_TIMEOUT_MS: '6000',
    },
  } satisfies Record<string, Environment>;
  const services = await createServices({});

  return {
    caFile,
    strangersCaFile,
    brokers,
    clientOf,
    /** Runs statements as the superuser, outside of the database `orders`. */
    administer,
    /** A right that nobody is to have. */
    allowGroup: (principal: Principal, name: string) =>
      createAcls(clientOf('admin'), principal, [{ resource: { type: 'group', name }, operations: ['Read'] }]),
    urlOf,
    kafkaEnvironment,
    simulator,
    /** Starts a service with its own identity, or with a changed environment. */
    start: (app: keyof typeof environments, change: Environment = {}) =>
      services.start(app, { ...environments[app], ...change }, {}),
    /** Starts a service that is refused something, so that nobody waits until it is ready. */
    startRefused: (app: keyof typeof environments, change: Record<string, string | undefined>) => {
      const changed = Object.entries({ ...environments[app], ...change });
      const env = Object.fromEntries(changed.filter((one): one is [string, string] => one[1] !== undefined));
      return startService({ name: app, entry: serviceMain(app), env });
    },
    client: (apiKey: string) =>
      createOrderClient({ apiUrl: `http://127.0.0.1:${port}`, apiKey, name: 'secured' }),
    async close(): Promise<void> {
      await services.close();
      await simulator.stop();
      await Promise.all([postgres.close(), kafka.close()]);
      rmSync(dir, { recursive: true });
    },
  };
}

const passwordsOf = <N extends string>(names: readonly N[]) =>
  Object.fromEntries(names.map((name) => [name, secret()])) as Record<N, string>;

/** How `ordersctl` ended: its answer, or the error that it told. */
export function runOrdersctl(
  env: Environment,
  ...args: string[]
): Promise<{
  status: number;
  answer: Record<string, unknown> & { error?: { code: string; message: string } };
}> {
  const command = [fileURLToPath(ordersctlMain()), ...args, '--json'];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      command,
      { env: { ...env, PATH: process.env.PATH } },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : Number(error.code);
        resolve({ status, answer: JSON.parse(status === 0 ? stdout : stderr) });
      },
    );
  });
}

/** As docs/security.md has it. */
const rolesToMake = (passwords: Record<Role, string>): string[] => [
  ...roles.map((role) => `CREATE ROLE ${role} LOGIN PASSWORD '${passwords[role]}'`),
  'CREATE ROLE outbox_owner NOLOGIN',
  'GRANT outbox_owner TO orders_owner, outbox_relay',
];

async function asAdministrator(
  postgresUrl: string,
  caFile: string,
  statements: readonly string[],
): Promise<void> {
  const url = new URL(postgresUrl);
  url.hostname = 'localhost';
  const admin = new pg.Client({ connectionString: `${url.href}?sslmode=verify-full&sslrootcert=${caFile}` });
  await admin.connect();
  for (const statement of statements) await admin.query(statement);
  await admin.end();
}

interface Acl {
  resource: { type: 'topic' | 'group'; name: string };
  operations: string[];
}

/** The very rights that are shown to users of Strimzi. */
async function applyAcls(kafka: Kafka): Promise<void> {
  const text = readFileSync(new URL('kafka-users.yaml', examples), 'utf8');
  for (const document of parseAllDocuments(text)) {
    const { metadata, spec } = document.toJS();
    await createAcls(kafka, metadata.name, spec.authorization.acls);
  }
}

async function createAcls(kafka: Kafka, principal: string, acls: readonly Acl[]): Promise<void> {
  const acl = acls.flatMap(({ resource, operations }) =>
    operations.map((operation) => ({
      resourceType: AclResourceTypes[resource.type.toUpperCase() as 'TOPIC'],
      resourceName: resource.name,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${principal}`,
      host: '*',
      operation: AclOperationTypes[inCapitals(operation) as 'READ'],
      permissionType: AclPermissionTypes.ALLOW,
    })),
  );
  const admin = kafka.admin();
  await admin.connect();
  await admin.createAcls({ acl });
  await admin.disconnect();
}

const inCapitals = (name: string): string => name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
