import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { acquireDevStack } from './stack.ts';

/** What test files get by `inject('devStack')`; use `testStack()` and `createTestDatabase()` of `./testing`. */
export interface ProvidedStack {
  postgresUrl: string;
  kafkaBrokers: string[];
  /** Prefix of every database this vitest run creates. */
  session: string;
}

/** Packages that are tested one after the other find the stack warm; DEV_STACK_LINGER_MS changes it. */
const lingerMs = Number(process.env.DEV_STACK_LINGER_MS || 10_000);

/** Holds the stack while one vitest run lasts; tells what it waits for only when that takes a while. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = await acquireDevStack({ log: delayedLog(10_000), lingerMs });
  const { postgresUrl, kafkaBrokers } = stack;
  const session = `vt_${randomBytes(5).toString('hex')}`;
  project.provide('devStack', { postgresUrl, kafkaBrokers, session });
  return async () => {
    await dropDatabases(postgresUrl, session).catch(() => undefined); // a server of ours ends with its data
    await stack.release();
  };
}

function delayedLog(quietMs: number): (line: string) => void {
  const start = Date.now();
  return (line) => {
    if (Date.now() - start > quietMs) console.error(`dev-stack: ${line}`);
  };
}

async function dropDatabases(postgresUrl: string, session: string): Promise<void> {
  const admin = new pg.Client({ connectionString: postgresUrl, connectionTimeoutMillis: 5_000 });
  await admin.connect();
  try {
    const found = await admin.query('SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [
      session,
    ]);
    for (const { datname } of found.rows) {
      await admin.query(`ALTER DATABASE "${datname}" IS_TEMPLATE false`);
      await admin.query(`DROP DATABASE "${datname}" WITH (FORCE)`);
    }
  } finally {
    await admin.end();
  }
}
