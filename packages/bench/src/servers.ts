import { kafkaCommand, startOwnKafka, startOwnPostgres } from '@orders/dev-stack/own-servers';
import { cpuMsOf, cpuMsOfFamily } from './cpu.ts';

/** The bench's own servers, which nobody else uses. */
export interface Servers {
  readonly postgresUrl: string;
  readonly kafkaBrokers: string[];
  /** CPU taken so far, milliseconds; undefined where the machine does not tell. */
  cpuMs(): ServersCpu;
  close(): Promise<void>;
}

export interface ServersCpu {
  readonly postgresMs: number | undefined;
  readonly kafkaMs: number | undefined;
}

export async function startServers(): Promise<Servers> {
  const [postgres, kafka] = await Promise.all([startOwnPostgres(), startOwnKafka()]);
  return {
    postgresUrl: postgres.url,
    kafkaBrokers: kafka.brokers,
    cpuMs: () => ({ postgresMs: cpuMsOfFamily(postgres.pid()), kafkaMs: cpuMsOf(kafka.pid()) }),
    async close() {
      await Promise.all([postgres.close(), kafka.close()]);
    },
  };
}

/** CPU between two readings, microseconds per event. */
export function cpuPerEvent(
  from: ServersCpu,
  to: ServersCpu,
  events: number,
): { postgresCpuUs: number; kafkaCpuUs: number } {
  const perEvent = (before = Number.NaN, after = Number.NaN) => ((after - before) * 1000) / events;
  return {
    postgresCpuUs: perEvent(from.postgresMs, to.postgresMs),
    kafkaCpuUs: perEvent(from.kafkaMs, to.kafkaMs),
  };
}

export { kafkaCommand };
