import { setTimeout as sleep } from 'node:timers/promises';
import { createKafka, createLogger } from '@orders/service-runtime';
import { Partitioners } from 'kafkajs';
import { benchTopic } from '../bench-run.ts';
import { clockMs } from './clock.ts';
import { type Poison, recordOf } from './load-events.ts';
import { say, told } from './say.ts';

/** Produces events at a fixed rate, whether or not anybody keeps up. */
export interface LoadSettings {
  readonly kafkaBrokers: readonly string[];
  readonly eventsPerSecond: number;
  readonly count: number;
  readonly poison: Poison;
}

/** A batch is what has become due within this time, */
const tickMs = 10;
/** and never more than a broker takes at once: on a busy machine a tick may last long. */
const batchMax = 1_000;

const settings = told<LoadSettings>();
const logger = createLogger({ service: 'bench-load', level: 'warn' });
const producer = createKafka({ brokers: settings.kafkaBrokers, clientId: 'bench-load', logger }).producer({
  allowAutoTopicCreation: false,
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();
say('ready');

const startMs = clockMs();
const sending = new Set<Promise<unknown>>();
let sent = 0;
while (sent < settings.count) {
  const due = Math.min(
    settings.count,
    sent + batchMax,
    Math.floor(((clockMs() - startMs) * settings.eventsPerSecond) / 1000),
  );
  const messages = [];
  for (; sent < due; sent += 1)
    messages.push(recordOf(sent, startMs + (sent * 1000) / settings.eventsPerSecond, settings.poison));
  if (messages.length > 0) {
    const batch = producer
      .send({ topic: benchTopic, acks: -1, messages })
      .finally(() => sending.delete(batch));
    sending.add(batch);
  }
  await sleep(tickMs);
}
await Promise.all(sending);
say('produced', { eventsPerSecond: (settings.count / (clockMs() - startMs)) * 1000 });
await producer.disconnect();
