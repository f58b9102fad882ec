import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { createRelay, type Logger, type Publisher } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import type { RelayProcessSettings } from './relay-fleet.ts';

// A relay as a process of its own; one line of JSON on standard output for everything that it logs.
const settings = JSON.parse(process.argv[2] ?? '') as RelayProcessSettings;

/** Where the process can stand still, worst places first. */
const points = ['send', 'relay.publish.after', 'relay.mark.after', 'relay.publish.before'];
let armed: string | undefined;
let arms = 0;
// SIGUSR2: stand still at the next of these points, as a process does whose machine is suspended there.
process.on('SIGUSR2', () => {
  armed = points[arms % points.length];
  arms += 1;
});

let beganAtMs = 0;
function reach(point: string): void {
  if (point === 'relay.publish.before') beganAtMs = Date.now();
  if (point !== armed) return;
  armed = undefined;
  process.kill(process.pid, 'SIGSTOP');
}

/** Says in each record when its publishing began, before the lease was looked at. */
function stamped(publisher: Publisher): Publisher {
  return {
    connect: publisher.connect,
    disconnect: publisher.disconnect,
    publish(records) {
      const relayedAt = String(beganAtMs);
      reach('send');
      return publisher.publish(
        records.map((record) => ({ ...record, headers: { ...record.headers, 'relayed-at': relayedAt } })),
      );
    },
  };
}

const say = (level: string) => (fields: object, msg: string) =>
  console.log(
    JSON.stringify({ level, msg, ...fields }, (_, value) => (value instanceof Error ? String(value) : value)),
  );
const logger: Logger = { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') };

const { leaseDurationMs } = settings.relay;
const pool = new pg.Pool({
  connectionString: settings.postgresUrl,
  max: 5,
  connectionTimeoutMillis: 2_000,
  keepAlive: true,
  ...(settings.pooled
    ? {}
    : {
        statement_timeout: leaseDurationMs * 0.8,
        idle_in_transaction_session_timeout: leaseDurationMs * 0.8,
      }),
});
pool.on('error', (err) => logger.warn({ err }, 'a connection broke'));
const kafka = new Kafka({
  clientId: settings.relay.relayId,
  brokers: settings.kafkaBrokers,
  logLevel: logLevel.NOTHING,
});
const publisher = createKafkajsPublisher({ kafka });
const relay = createRelay({ pool, publisher: stamped(publisher), logger, crashPoint: reach }, settings.relay);

process.on('SIGTERM', async () => {
  await relay.stop();
  await publisher.disconnect();
  await pool.end();
  process.exit(0);
});
if (settings.reportIntervalMs !== undefined) {
  setInterval(() => {
    const { published, marked, inFlight } = relay.status();
    logger.info({ rssBytes: process.memoryUsage.rss(), published, marked, inFlight }, 'relay: report');
  }, settings.reportIntervalMs);
}
await relay.start();
