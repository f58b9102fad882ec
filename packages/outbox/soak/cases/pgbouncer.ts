import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort, waitFor } from '@orders/dev-stack';
import { startOwnPostgres } from '@orders/dev-stack/own-servers';
import { freshSeed, outcomeOf, type SoakCase, skipped } from '@orders/dev-stack/soak';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { runHistory } from '../adversary/run.ts';
import { installed } from '../debian.ts';
import { brokenPromises, figuresOf } from './judged.ts';
import { serverVersion } from './postgres-versions.ts';

const events = 20_000;
const takeovers = 10;

/** Relays behind a pooler that gives a connection to somebody else after each transaction. */
export const pgbouncer: SoakCase = {
  name: 'pgbouncer',
  about: `${events} events and ${takeovers} takeovers, the relays behind PgBouncer in transaction mode (Debian's package)`,
  async run({ log, servers, atEnd }) {
    const missing = await installed('pgbouncer', '/usr/sbin/pgbouncer', log);
    if (missing !== undefined) return skipped(missing);
    const postgres = await startOwnPostgres();
    atEnd(postgres.close);
    const pooler = await startPgbouncer(postgres.url);
    atEnd(pooler.close);
    const { kafkaBrokers } = await servers();
    const seed = freshSeed();
    log(`${pooler.version}, seed ${seed}`);
    const relays = adversarialRelays({
      seed,
      takeovers,
      pooled: true,
      relay: { listen: false },
      relayUrl: (direct) => Object.assign(new URL(direct), { port: String(pooler.port) }).href,
    });
    const report = await runHistory(
      { postgresUrl: postgres.url, kafkaBrokers },
      { seed, events, relays, log },
    );
    return outcomeOf({ pgbouncer: pooler.version, ...figuresOf(report) }, brokenPromises(report));
  },
};

async function startPgbouncer(serverUrl: string) {
  const { hostname, port: serverPort, username, password } = new URL(serverUrl);
  const dir = mkdtempSync(join(tmpdir(), 'orders-pgbouncer-'));
  const port = await freePort();
  const users = join(dir, 'users.txt');
  const config = join(dir, 'pgbouncer.ini');
  writeFileSync(users, `"${username}" "${password}"\n`);
  writeFileSync(
    config,
    `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 6
max_client_conn = 100
`,
  );
  chmodSync(dir, 0o711);
  for (const file of [users, config]) chmodSync(file, 0o644);
  const [version = ''] = spawnSync('/usr/sbin/pgbouncer', ['--version'], { encoding: 'utf8' }).stdout.split(
    '\n',
  );
  // It refuses to run as root, as PostgreSQL does; its package has brought the user.
  const account =
    userInfo().uid === 0
      ? { uid: Number(spawnSync('id', ['-u', 'postgres'], { encoding: 'utf8' }).stdout) }
      : {};
  const pooler = spawn('/usr/sbin/pgbouncer', ['-q', config], { ...account, stdio: 'ignore' });
  const end = () => pooler.kill('SIGKILL');
  process.on('exit', end);
  await waitFor('PgBouncer', () =>
    serverVersion(Object.assign(new URL(serverUrl), { port: String(port) }).href),
  );
  return {
    port,
    version,
    async close() {
      const ended = once(pooler, 'exit');
      if (end()) await ended;
      process.off('exit', end);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
