import { setTimeout as sleep } from 'node:timers/promises';
import { startOwnKafka } from '@orders/dev-stack/own-servers';
import { freshSeed, outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { type RunContext, runHistory } from '../adversary/run.ts';
import { brokenPromises, figuresOf } from './judged.ts';

const outageS = 180;
const eventsBefore = 2_000;
const eventsPerSecond = 100;

/** The broker is killed and stays away for minutes, while writers go on. */
export const brokerOutage: SoakCase = {
  name: 'broker-outage',
  about: `the broker is away for ${outageS} s while writers go on; the relays come back by themselves`,
  async run({ log, servers, atEnd }) {
    const kafka = await startOwnKafka();
    atEnd(kafka.close);
    const { postgresUrl } = await servers();
    const seed = freshSeed();
    let outage: Promise<Outage> | undefined;
    const report = await runHistory(
      { postgresUrl, kafkaBrokers: kafka.brokers },
      {
        seed,
        events: eventsBefore,
        eventsPerSecond,
        log,
        async relays(context) {
          const relays = await adversarialRelays({ seed, takeovers: 0, relay: { backoffMaxMs: 5_000 } })(
            context,
          );
          outage = outageOf(context, kafka, log);
          outage.catch(() => undefined); // awaited below
          let over = false;
          void outage.finally(() => {
            over = true;
          });
          return { ...relays, wantMore: async () => !over };
        },
      },
    );
    const { backlog, resumedAfterMs } = (await outage) as Outage;
    return outcomeOf({ outageS, backlogAtReturn: backlog, resumedAfterMs, ...figuresOf(report) }, [
      backlog < (outageS * eventsPerSecond) / 4 && `only ${backlog} events waited: the outage was none`,
      report.failed > 0 && `${report.failed} writers' transactions failed`,
      ...brokenPromises(report),
    ]);
  },
};

interface Outage {
  /** Unpublished events when the broker came back. */
  backlog: number;
  /** From the broker's first answer to the first event published. */
  resumedAfterMs: number;
}

async function outageOf(
  { database }: RunContext,
  kafka: { kill(): Promise<void>; start(): Promise<void> },
  log: (line: string) => void,
): Promise<Outage> {
  const count = async (where: string) => {
    const { rows } = await database.pool.query(`SELECT count(*)::int AS n FROM outbox WHERE ${where}`);
    return rows[0].n as number;
  };
  while ((await count('published_at IS NOT NULL')) < eventsBefore / 2) await sleep(100);
  await kafka.kill();
  log('the broker is gone');
  await sleep(outageS * 1000);
  const [backlog, published] = [await count('published_at IS NULL'), await count('published_at IS NOT NULL')];
  log(`the broker comes back; ${backlog} events wait`);
  await kafka.start();
  const startMs = Date.now();
  while ((await count('published_at IS NOT NULL')) === published) await sleep(20);
  const resumedAfterMs = Date.now() - startMs;
  log(`publishing again after ${resumedAfterMs} ms`);
  return { backlog, resumedAfterMs };
}
