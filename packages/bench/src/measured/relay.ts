import { createDatabase } from '@orders/db';
import { createRelay, type PoolLike, type RelayMetrics } from '@orders/outbox';
import { createLogger } from '@orders/service-runtime';
import { createPublisher, type PublisherName } from './publishers.ts';
import { say, told } from './say.ts';
import { openWindow, type WindowSettings } from './window.ts';

/** A relay as `apps/outbox-relay` runs it, with its defaults, pool and log. */
export interface RelaySettings {
  readonly postgresUrl: string;
  readonly kafkaBrokers: readonly string[];
  readonly publisher: PublisherName;
  /** What is measured of a drain, in marked events. */
  readonly window?: WindowSettings;
  /** Says the statement of a poll, once. */
  readonly sayPoll?: boolean;
}

const settings = told<RelaySettings>();
const logger = createLogger({ service: 'bench-relay', level: 'info' });
const { pool, close } = createDatabase({ url: settings.postgresUrl, poolMax: 10, logger });
const publisher = createPublisher(settings.publisher, settings.kafkaBrokers, logger);
const metrics = settings.window === undefined ? {} : { metrics: countingMarks(settings.window) };
const relay = createRelay({
  pool: settings.sayPoll ? tellingPolls(pool) : pool,
  publisher,
  logger,
  ...metrics,
});

await publisher.connect();
await relay.start();
say('ready');

process.once('SIGTERM', async () => {
  await relay.stop();
  await publisher.disconnect();
  await close();
  process.exit(0);
});

function countingMarks(window: WindowSettings): RelayMetrics {
  const nothing = () => undefined;
  return {
    published: { inc: nothing },
    marked: { inc: openWindow(window) },
    fenced: { inc: nothing },
    failures: { inc: nothing },
    publishSeconds: { observe: nothing },
    backlog: { set: nothing },
    oldestAgeSeconds: { set: nothing },
    blockedAggregates: { set: nothing },
    paused: { set: nothing },
    partitionsMade: { inc: nothing },
    partitionsDropped: { inc: nothing },
    partitionsPutOff: { inc: nothing },
    oldestPartitionAgeSeconds: { set: nothing },
  };
}

/** What the bench repeats is the relay's own read, as it sends it. */
function tellingPolls(inner: PoolLike): PoolLike {
  let said = false;
  return {
    connect: () => inner.connect(),
    query(text, values) {
      // The first one asks for nothing: it shows that the function is there.
      if (!said && text.includes('outbox_read(') && values?.[1] !== noBuckets) {
        said = true;
        say('poll', { statement: text, values });
      }
      return inner.query(text, values);
    },
  };
}

/** An array of none, as PostgreSQL writes it. */
const noBuckets = '{}';
