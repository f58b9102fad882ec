import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { inject } from 'vitest';
import { createTopic, uniqueName } from './topic.ts';
import type { ProvidedStack } from './vitest-global-setup.ts';

export { uniqueName };

declare module 'vitest' {
  interface ProvidedContext {
    devStack: ProvidedStack;
  }
}

/** The stack that the integration project's global set-up holds. */
export function testStack(): { postgresUrl: string; kafkaBrokers: string[] } {
  const { postgresUrl, kafkaBrokers } = inject('devStack');
  return { postgresUrl, kafkaBrokers };
}

/** Creates a topic with a unique name (1 partition unless told) and returns the name once its leaders are known. */
export async function createTestTopic(prefix: string, o: { partitions?: number } = {}): Promise<string> {
  const topic = uniqueName(prefix);
  const kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });
  await createTopic(kafka, topic, o.partitions ?? 1);
  return topic;
}

export interface TestDatabase {
  /** Superuser's URL of the new database. */
  url: string;
  /** Drops it, whoever is connected; those who are about to leave have {@link leaveTimeoutMs} to do so. */
  drop(): Promise<void>;
}

/**
 * A database of its own for a test file: a copy of the template, which is migrated once per vitest run.
 * `template` names it; the same name means the same `migrate`.
 */
export async function createTestDatabase(o: {
  template: string;
  migrate: (url: string) => Promise<void>;
}): Promise<TestDatabase> {
  const { postgresUrl, session } = inject('devStack');
  const template = databaseName(session, 'template', o.template);
  const name = databaseName(session, 'test', randomBytes(5).toString('hex'));
  await withAdmin(postgresUrl, async (admin) => {
    await ensureTemplate(admin, postgresUrl, template, o.migrate);
    await cloneDatabase(admin, name, template);
  });
  const drop = () =>
    withAdmin(postgresUrl, async (admin) => {
      await untilLeft(admin, name);
      await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
    });
  return { url: urlOf(postgresUrl, name), drop };
}

/** Names carry the vitest run, so that its global tear-down finds what a test file forgot to drop. */
function databaseName(session: string, kind: 'template' | 'test', rest: string): string {
  return `${session}_${kind}_${rest.toLowerCase().replaceAll(/[^a-z0-9]/g, '_')}`.slice(0, 63);
}

async function ensureTemplate(
  admin: pg.Client,
  postgresUrl: string,
  template: string,
  migrate: (url: string) => Promise<void>,
): Promise<void> {
  // Test files run in several processes: the first one migrates, the others wait here.
  await admin.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [template]);
  try {
    const found = await admin.query('SELECT datistemplate FROM pg_database WHERE datname = $1', [template]);
    if (found.rows[0]?.datistemplate) return;
    // Marked as a template only when migrated, so one that is not is the remains of a failure.
    await admin.query(`DROP DATABASE IF EXISTS "${template}" WITH (FORCE)`);
    await admin.query(`CREATE DATABASE "${template}"`);
    await migrate(urlOf(postgresUrl, template));
    await admin.query(`ALTER DATABASE "${template}" IS_TEMPLATE true`);
  } finally {
    await admin.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [template]);
  }
}

/** A template cannot be copied while somebody is connected to it, as the migration's last connection may be. */
async function cloneDatabase(admin: pg.Client, name: string, template: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await admin.query(`CREATE DATABASE "${name}" TEMPLATE "${template}"`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== objectInUse || attempt === cloneAttemptsMax) throw error;
      await sleep(100);
    }
  }
}

const objectInUse = '55006';
const cloneAttemptsMax = 6; // PostgreSQL itself waits 5 s in each

/**
 * A pool's `end()` resolves before its sessions have ended. One that is cut off in between raises an error that nobody
 * listens for any more, and fails the whole run.
 */
async function untilLeft(admin: pg.Client, database: string): Promise<void> {
  const deadline = Date.now() + leaveTimeoutMs;
  while (Date.now() < deadline) {
    const { rowCount } = await admin.query(
      `SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`,
      [database],
    );
    if (rowCount === 0) return;
    await sleep(20);
  }
}

const leaveTimeoutMs = 2_000;

async function withAdmin(postgresUrl: string, use: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: postgresUrl });
  await admin.connect();
  try {
    await use(admin);
  } finally {
    await admin.end();
  }
}

function urlOf(postgresUrl: string, database: string): string {
  const url = new URL(postgresUrl);
  url.pathname = `/${database}`;
  return url.href;
}
