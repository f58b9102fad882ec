import { createRandom } from '@orders/dev-stack/soak';
import { createRelayFleet, type RelayFleet, type RelayProcessSettings } from '../relay-fleet.ts';
import { type Fault, injectFaults } from './faults.ts';
import type { RelaysUnderTest, RunContext } from './run.ts';

export interface AdversarialOptions {
  readonly seed: number;
  /** Takeovers to be seen, at least; none are provoked if 0. */
  readonly takeovers: number;
  readonly relay?: Partial<RelayProcessSettings['relay']>;
  readonly pooled?: boolean;
  /** URL that the relays use instead of the database's own. */
  readonly relayUrl?: (databaseUrl: string) => string;
  readonly onEnd?: (seen: { faults: Record<Fault, number> | undefined; fleet: RelayFleet }) => void;
}

const places = 3;

/** Real relays, three processes of their own, that are killed, stopped and continued all the time. */
export function adversarialRelays(options: AdversarialOptions) {
  return async (context: RunContext): Promise<RelaysUnderTest> => {
    const { database, kafkaBrokers } = context;
    const fleet = createRelayFleet(places, {
      postgresUrl: options.relayUrl?.(database.url) ?? database.url,
      kafkaBrokers,
      relay: {
        leaseDurationMs: 1_200,
        pollIntervalMs: 50,
        batchSizeMax: 40,
        backoffMaxMs: 2_000,
        lowWaterIntervalMs: 100,
        ...options.relay,
      },
      ...(options.pooled ? { pooled: true } : {}),
    });
    const count = async (sql: string, values: unknown[] = []) => {
      const { rows } = await database.pool.query(sql, values);
      return rows[0].n as number;
    };
    await Promise.all(Array.from({ length: places }, (_, place) => fleet.start(place)));
    let over = false;
    const faults =
      options.takeovers === 0
        ? undefined
        : injectFaults(
            {
              fleet,
              random: createRandom(options.seed),
              owned: (relayId) =>
                count(`SELECT count(*)::int AS n FROM outbox_buckets WHERE owner LIKE $1`, [`${relayId}-%`]),
              takeoversOf: (relayId) =>
                count(`SELECT count(*)::int AS n FROM run_takeovers WHERE relay LIKE $1`, [`${relayId}-%`]),
              isOver: () => over,
            },
            2,
          );
    faults?.catch(() => undefined); // awaited by settle

    return {
      wantMore: async () => (await count('SELECT count(*)::int AS n FROM run_takeovers')) < options.takeovers,
      isDrained: async () =>
        (await count('SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL')) === 0,
      async settle() {
        over = true;
        options.onEnd?.({ faults: await faults, fleet });
      },
      async stop() {
        over = true;
        await faults?.catch(() => undefined);
        await fleet.stop();
      },
    };
  };
}
