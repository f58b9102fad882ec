import { type OwnServer, startOwnPostgres } from '@orders/dev-stack/own-servers';
import {
  freshSeed,
  outcomeOf,
  type SoakCase,
  type SoakContext,
  type SoakOutcome,
  skipped,
} from '@orders/dev-stack/soak';
import pg from 'pg';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { runHistory } from '../adversary/run.ts';
import { installed } from '../debian.ts';
import { brokenPromises, figuresOf } from './judged.ts';

const events = 20_000;
const takeovers = 10;

/** The adversarial run on the PostgreSQL of Debian 12. */
export const postgres15: SoakCase = {
  name: 'postgres-15',
  about: `${events} events and ${takeovers} takeovers on PostgreSQL 15 (Debian's package)`,
  async run(context) {
    const binDir = '/usr/lib/postgresql/15/bin';
    const missing = await installed('postgresql-15', `${binDir}/postgres`, context.log);
    if (missing !== undefined) return skipped(missing);
    return adversarialOn(context, await startOwnPostgres({ binDir }), 15);
  },
};

/** The adversarial run on the embedded PostgreSQL. */
export const postgres18: SoakCase = {
  name: 'postgres-18',
  about: `${events} events and ${takeovers} takeovers on PostgreSQL 18 (the embedded one)`,
  run: async (context) => adversarialOn(context, await startOwnPostgres(), 18),
};

async function adversarialOn(
  { log, servers, atEnd }: SoakContext,
  postgres: OwnServer & { url: string },
  major: number,
): Promise<SoakOutcome> {
  atEnd(postgres.close);
  const version = await serverVersion(postgres.url);
  const seed = freshSeed();
  log(`PostgreSQL ${version}, seed ${seed}`);
  const { kafkaBrokers } = await servers();
  const relays = adversarialRelays({ seed, takeovers });
  const report = await runHistory({ postgresUrl: postgres.url, kafkaBrokers }, { seed, events, relays, log });
  return outcomeOf({ postgres: version, ...figuresOf(report) }, [
    !version.startsWith(`${major}.`) && `this is PostgreSQL ${version}`,
    ...brokenPromises(report),
  ]);
}

export async function serverVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query('SHOW server_version');
  await client.end();
  return rows[0].server_version;
}
