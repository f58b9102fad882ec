import { setTimeout as sleep } from 'node:timers/promises';
import { startOwnPostgres } from '@orders/dev-stack/own-servers';
import { freshSeed, outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { type RunContext, runHistory } from '../adversary/run.ts';
import { brokenPromises, figuresOf } from './judged.ts';

const awayMs = [0, 1_000, 5_000, 15_000, 0];
const restarts = awayMs.length;
const eventsBetween = 1_500;

/** PostgreSQL is taken down as a crash does it, under writers and relays. */
export const postgresRestart: SoakCase = {
  name: 'postgres-restart',
  about: `PostgreSQL crashes ${restarts} times under writers and relays, and is away for up to 15 s`,
  async run({ log, servers, atEnd }) {
    const postgres = await startOwnPostgres();
    atEnd(postgres.close);
    const { kafkaBrokers } = await servers();
    const seed = freshSeed();
    let crashes = 0;
    let restarting: Promise<void> | undefined;
    const report = await runHistory(
      { postgresUrl: postgres.url, kafkaBrokers },
      {
        seed,
        events: 1,
        eventsPerSecond: 500,
        goOnAfterErrors: true,
        log,
        async relays(context) {
          const under = adversarialRelays({
            seed,
            takeovers: 0,
            onEnd: ({ fleet }) => (crashes = fleet.crashes()),
          });
          const relays = await under(context);
          restarting = restart(context, postgres, log);
          restarting.catch(() => undefined); // awaited below
          let over = false;
          void restarting.finally(() => {
            over = true;
          });
          return { ...relays, wantMore: async () => !over };
        },
      },
    );
    await restarting;
    return outcomeOf(
      { restarts, failedTransactions: report.failed, relayCrashes: crashes, ...figuresOf(report) },
      [
        report.failed === 0 && 'no transaction noticed anything',
        crashes > 0 && `${crashes} relay processes ended`,
        ...brokenPromises(report),
      ],
    );
  },
};

async function restart(
  { database }: RunContext,
  postgres: { kill(): Promise<void>; start(): Promise<void> },
  log: (line: string) => void,
): Promise<void> {
  const published = async () => {
    const { rows } = await database.pool.query(
      'SELECT count(*)::int AS n FROM outbox WHERE published_at IS NOT NULL',
    );
    return rows[0].n as number;
  };
  for (const waitMs of awayMs) {
    for (const enough = (await published()) + eventsBetween; (await published()) < enough; ) await sleep(100);
    await postgres.kill();
    await sleep(waitMs);
    await postgres.start();
    const startMs = Date.now();
    for (const before = await published(); (await published()) === before; ) await sleep(20);
    log(`away for ${waitMs} ms; publishing again ${Date.now() - startMs} ms after it answered`);
  }
}
