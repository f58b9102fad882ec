// A source in a process of its own that tells its peak memory: node kafkajs-memory.ts '{"brokers": …}'
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { kafkajsSource } from '../src/kafkajs.ts';
import { silentLogger } from '../src/logger.ts';

const { brokers, topic, groupId, decompressedBytesMax, records } = JSON.parse(process.argv[2] as string);
const counted: string[] = [];
let delivered = 0;
const source = kafkajsSource(
  { kafka: new Kafka({ brokers, logLevel: logLevel.NOTHING }) },
  { groupId, topics: [topic], decompressedBytesMax },
);
source.start({
  logger: silentLogger,
  count: (what) => counted.push(what),
  onChunk: async (chunk) => {
    delivered += chunk.records.length;
    await chunk.commitOffsets();
    return 'accepted';
  },
});
while (!counted.includes('unreadableBatches') && delivered < (records ?? Number.POSITIVE_INFINITY))
  await sleep(50);
await sleep(3_000); // two more tries
await source.stop();
const status = readFileSync('/proc/self/status', 'utf8');
const peakKib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0);
process.send?.({ peakMib: Math.round(peakKib / 1024), counted, delivered });
process.disconnect?.();
