import { assertRightsFit, assertSchemaFits, createDatabase, findApiKey } from '@orders/db';
import { createOrderLifecycle } from '@orders/order-lifecycle';
import { createOutbox } from '@orders/outbox';
import { configOrExit, crashPoint, createLogger, runService } from '@orders/service-runtime';
import { sql } from 'kysely';
import { createApp } from './app.ts';
import { readConfig } from './config.ts';
import { startKeyRetention } from './key-retention.ts';

const service = 'order-api';
const config = configOrExit(service, readConfig);
const logger = createLogger({ service, level: config.LOG_LEVEL });

/** A request waits for a free connection for this long, then it is answered 503. */
const acquireTimeoutMs = 3_000;

/** Of the time for the shutdown; the rest is for the database's connections. */
const drainShare = 0.8;

async function start() {
  const database = createDatabase({
    url: config.DATABASE_URL,
    poolMax: config.DATABASE_POOL_MAX,
    acquireTimeoutMs,
    applicationName: service,
    logger,
  });
  const { db, pool } = database;
  await assertSchemaFits(db);
  await assertRightsFit(db, 'api');

  const outbox = createOutbox({ pool, logger });
  const app = createApp(
    {
      db,
      lifecycle: createOrderLifecycle({ outbox, topic: config.ORDERS_TOPIC }),
      outbox,
      findApiKey: (key) => findApiKey(db, key),
      isReady: async () => (await sql`select 1`.execute(db)).rows.length === 1,
      logger,
      crashPoint,
    },
    {
      apiKeyRememberMs: config.API_KEY_REMEMBER_MS,
      drainDelayMs: config.DRAIN_DELAY_MS,
      drainLimitMs: config.SHUTDOWN_TIMEOUT_MS * drainShare,
    },
  );
  await app.http.listen({ host: config.HOST, port: config.PORT });
  const keyRetention = startKeyRetention({ db, logger });

  return {
    async stop() {
      await app.drain();
      await keyRetention.stop();
      await outbox.close();
      await database.close();
    },
  };
}

await runService({ logger, shutdownTimeoutMs: config.DRAIN_DELAY_MS + config.SHUTDOWN_TIMEOUT_MS, start });
