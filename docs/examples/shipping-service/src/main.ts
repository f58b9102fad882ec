import { createOutbox, createRelay } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { createApi } from './api.ts';
import { config } from './config.ts';
import { openKafka, openPool } from './connections.ts';
import { createShipments } from './shipments.ts';

const pool = openPool(10);
const outbox = createOutbox({ pool });
const shipments = createShipments({ pool, outbox, topic: config.topic });

// The relay may as well be a process of its own. Run as many as you like: they share the work.
const relayPool = openPool(4);
const publisher = createKafkajsPublisher({ kafka: openKafka() });
const relay = createRelay({ pool: relayPool, publisher, logger: console });
await relay.start();

const server = createApi(shipments, relay.isHealthy).listen(config.port);

process.once('SIGTERM', async () => {
  server.close();
  server.closeIdleConnections();
  await outbox.close(); // sends the wake-up that is still due
  await relay.stop(); // publishes what is in flight, gives its buckets back
  await publisher.disconnect();
  await Promise.all([pool.end(), relayPool.end()]);
});
