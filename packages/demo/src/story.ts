import { type LogLine, waitFor } from '@orders/dev-stack';
import type { Narrator } from './narrator.ts';
import { groupCaughtUp, headerOf, readTopic, redeliver, type TopicRecord } from './records.ts';
import type { SystemService } from './services.ts';
import type { System } from './system.ts';

/** Leases and sessions short enough to watch a takeover; call < lease, as everywhere. The defaults are for production. */
const impatient = {
  env: { GATEWAY_TIMEOUT_MS: '3000', PAYMENT_LEASE_MS: '8000', KAFKA_SESSION_TIMEOUT_MS: '6000' },
};

/** The main job, part by part; each checks what it shows. Leaves all three services running. */
export async function tellStory(system: System, tell: Narrator): Promise<void> {
  let worker = await servicesUp(system, tell);
  const orderId = await anOrderIsPaid(system, worker, tell);
  worker = await theSameRecordAgain(system, worker, orderId, tell);
  await aForcedPaymentFailure(system, worker, tell);
  await aWorkerKilledDuringTheCall(system, worker, tell);
}

async function servicesUp(system: System, tell: Narrator): Promise<SystemService> {
  const [api, relay, worker] = await Promise.all([
    system.startApi(),
    system.startRelay(),
    system.startWorker(impatient),
  ]);
  tell.say(
    `order-api ${system.apiUrl} (pid ${api.pid}), outbox-relay (pid ${relay.pid}), payment-worker (pid ${worker.pid})`,
  );
  tell.say(
    `gateway simulator ${system.simulator.url}: a process with a ledger of its own; it is told to approve, 500 ms a call`,
  );
  const ready = await fetch(`${system.apiUrl}/readyz`);
  tell.check('all three services say they are ready', ready.ok);
  return worker;
}

async function anOrderIsPaid(system: System, worker: SystemService, tell: Narrator): Promise<string> {
  tell.part('An order goes in over HTTP and comes out PAID');
  const { status, body, elapsedMs } = await system.placeOrder();
  tell.say(`POST /v1/orders → ${status} in ${elapsedMs.toFixed(0)} ms; nothing waited for the payment`);
  tell.rows('the answer', [
    { id: body.id, state: body.state, version: body.version, totalMinor: body.totalMinor },
  ]);
  tell.check('the order is CREATED, version 1', body.state === 'CREATED' && body.version === 1);

  await system.orderInState(body.id, 'PAID');
  tell.logLines('payment-worker', linesAbout(worker, body.id));
  const order = await showOrder(system, body.id, tell);
  tell.check('the order is PAID, version 3', order.state === 'PAID' && order.version === 3);
  tell.check('the gateway’s ledger holds one charge for it', (await captured(system, body.id)) === 1);
  return body.id;
}

async function theSameRecordAgain(system: System, worker: SystemService, orderId: string, tell: Narrator) {
  tell.part('The same record is delivered again, and the worker restarted');
  const { kafkaBrokers, topic, consumerGroup } = system;
  const records = await readTopic(kafkaBrokers, topic);
  const created = records.find(
    (record) =>
      headerOf(record, 'ce_subject') === orderId && headerOf(record, 'ce_type') === 'order.created.v1',
  );
  tell.check('the event order.created is on the topic', created !== undefined);
  if (created === undefined) return worker;
  await redeliver(kafkaBrokers, topic, created);
  tell.say(
    `order.created ${headerOf(created, 'ce_id')} of offset ${created.offset} is on ${topic} a second time`,
  );
  await groupCaughtUp(kafkaBrokers, topic, consumerGroup);
  const exit = await worker.stop('SIGTERM');
  tell.check('the worker drained and ended with status 0', exit.code === 0);
  await redeliver(kafkaBrokers, topic, created);
  tell.say('no worker runs, and the record is put there a third time; then a worker starts again');
  const restarted = await system.startWorker(impatient);
  await groupCaughtUp(kafkaBrokers, topic, consumerGroup);

  const again = (await readTopic(kafkaBrokers, topic)).filter((record) => sameId(record, created));
  const inbox = await rows(system, 'processed_events', orderId);
  tell.rows('processed_events', inbox);
  tell.check(
    'the record is on the topic three times, and in the inbox once',
    again.length === 3 && inbox.length === 1,
  );
  const order = await showOrder(system, orderId, tell);
  tell.check('state and version are unchanged', order.state === 'PAID' && order.version === 3);
  tell.check('the gateway’s ledger still holds one charge', (await captured(system, orderId)) === 1);
  return restarted;
}

async function aForcedPaymentFailure(system: System, worker: SystemService, tell: Narrator): Promise<void> {
  tell.part('The gateway declines: three attempts, a dead letter, the order FAILED');
  await system.simulator.control({ mode: 'decline-soft' });
  const { body } = await system.placeOrder({ customerId: 'customer-2' });
  tell.say(`order ${body.id}; attempts are scheduled in PostgreSQL with exponential backoff and full jitter`);
  const failed = await system.orderInState(body.id, 'FAILED');
  await system.simulator.control({ mode: 'normal' });

  tell.logLines('payment-worker', linesAbout(worker, body.id));
  const attempts = await rows(system, 'payment_attempts', body.id);
  tell.rows('payment_attempts', attempts);
  const deadLetters = await rows(system, 'dead_letter_events', body.id);
  tell.rows('dead_letter_events', deadLetters);
  const order = await showOrder(system, body.id, tell);
  tell.rows('GET /v1/orders/:id says why', [{ state: failed.state, failure: failed.failure }]);

  const declined = attempts.filter((attempt) => attempt.state === 'DECLINED').length;
  tell.check('there were three attempts, each declined', attempts.length === 3 && declined === 3);
  tell.check('one dead letter says why', deadLetters.length === 1 && Boolean(deadLetters[0]?.reason));
  tell.check(
    'the order is FAILED after 3 attempts',
    order.state === 'FAILED' && failed.failure?.attempts === 3,
  );
  tell.check('nothing was captured', (await captured(system, body.id)) === 0);
}

async function aWorkerKilledDuringTheCall(
  system: System,
  worker: SystemService,
  tell: Narrator,
): Promise<void> {
  tell.part('The worker is killed (SIGKILL) while the gateway call is in flight');
  await system.simulator.control({ latencyMs: 1500 });
  const { body } = await system.placeOrder({ customerId: 'customer-3' });
  await waitFor('a gateway call in flight', async () => (await system.simulator.inFlight()) > 0, {
    intervalMs: 10,
  });
  await worker.kill();
  tell.rows('payment_attempts at that moment', await rows(system, 'payment_attempts', body.id));
  tell.check('the worker is gone', (await worker.exited).signal === 'SIGKILL');
  await system.simulator.control({ latencyMs: 500 });
  const next = await system.startWorker(impatient);
  tell.say(
    'a new worker is up; it waits for the lease of the dead one to run out, then asks with the same key',
  );

  await system.orderInState(body.id, 'PAID');
  tell.logLines('payment-worker', linesAbout(next, body.id));
  const order = await showOrder(system, body.id, tell);
  tell.rows(
    'the gateway’s ledger',
    (await system.charges(body.id)).map((entry) => ({ ...entry })),
  );
  tell.check('the order is PAID, version 3', order.state === 'PAID' && order.version === 3);
  tell.check('it was charged once', (await captured(system, body.id)) === 1);
}

const sameId = (one: TopicRecord, other: TopicRecord): boolean =>
  headerOf(one, 'ce_id') === headerOf(other, 'ce_id');

const linesAbout = (service: SystemService, orderId: string): LogLine[] =>
  service.logs.filter((line) => JSON.stringify(line).includes(orderId));

const captured = async (system: System, orderId: string): Promise<number> =>
  (await system.charges(orderId)).filter((entry) => entry.outcome === 'captured').length;

const queries = {
  orders: 'select state, version, currency, total_minor, updated_at from orders where id = $1',
  order_events:
    'select version, type, event_id, occurred_at from order_events where order_id = $1 order by version',
  outbox:
    'select seq, type, bucket, created_at, published_at from outbox where aggregateid = $1 order by seq',
  processed_events: `select i.event_id, i.worker_id, i."partition", i."offset", i.processed_at
    from processed_events i join order_events e on e.event_id::text = i.event_id where e.order_id = $1`,
  payment_attempts: `select a.n, a.idempotency_key, a.state, a.permits, a.decline_code
    from payment_attempts a join payments p on p.id = a.payment_id where p.order_id = $1 order by a.n`,
  dead_letter_events: `select d.worker_id, d.event_id, d.reason, d.failed_at
    from dead_letter_events d join order_events e on e.event_id::text = d.event_id where e.order_id = $1`,
};

async function rows(system: System, table: keyof typeof queries, orderId: string) {
  return (await system.pool.query<Record<string, unknown>>(queries[table], [orderId])).rows;
}

async function showOrder(system: System, orderId: string, tell: Narrator): Promise<Record<string, unknown>> {
  const [order] = await rows(system, 'orders', orderId);
  tell.rows('orders', order === undefined ? [] : [order]);
  tell.rows('order_events', await rows(system, 'order_events', orderId));
  tell.rows('outbox', await rows(system, 'outbox', orderId));
  return order ?? {};
}
