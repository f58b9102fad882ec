import { createServer } from 'node:http';
import { createConsumer, pgTransaction } from '@orders/idempotent-consumer';
import { kafkajsSource } from '@orders/idempotent-consumer/kafkajs';
import { createOutbox, createRelay } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { config } from './config.ts';
import { openKafka, openPool } from './connections.ts';
import { notifyOf } from './notify.ts';
import { decodeOrderCreated } from './order-created.ts';

const pool = openPool(10);
const relayPool = openPool(4);
const kafka = openKafka();
const outbox = createOutbox({ pool });
const publisher = createKafkajsPublisher({ kafka });
const relay = createRelay({ pool: relayPool, publisher, logger: console });

const { groupId, ordersTopic, notificationsTopic } = config;
const say = (fields: object, message: string) => console.error(message, fields);
const consumer = createConsumer(
  {
    source: kafkajsSource({ kafka }, { groupId, topics: [ordersTopic] }),
    transaction: pgTransaction(pool),
    logger: { debug() {}, info: say, warn: say, error: say },
  },
  {
    consumerName: 'notification-service',
    decode: decodeOrderCreated,
    handle: notifyOf(outbox, notificationsTopic),
    retention: { inboxMs: 30 * 86_400_000 }, // longer than the topic keeps its records
  },
);
await relay.start();
await consumer.start();

const server = createServer(async ({ url }, response) => {
  const isReady = consumer.isHealthy() && relay.isHealthy();
  response.writeHead(url === '/status' || isReady ? 200 : 503, { 'content-type': 'application/json' });
  response.end(JSON.stringify(url === '/status' ? await consumer.status() : { isReady }));
}).listen(config.port);

process.once('SIGTERM', async () => {
  server.close();
  server.closeIdleConnections();
  await consumer.stop(); // finishes what is in hand, commits, leaves the group
  await outbox.close();
  await relay.stop();
  await publisher.disconnect();
  await Promise.all([pool.end(), relayPool.end()]);
});
