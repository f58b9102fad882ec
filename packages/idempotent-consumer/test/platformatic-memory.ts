// A process of its own, so that its memory can be measured: `node platformatic-memory.ts BROKERS TOPIC MIB UNTIL`.
import { readFileSync } from 'node:fs';
import { Consumer, compressionsAlgorithms } from '@platformatic/kafka';
import { silentLogger } from '../src/logger.ts';
import { platformaticSource } from '../src/platformatic.ts';

const [brokers = '', topic = '', mebibytes = '', until = ''] = process.argv.slice(2);
let unreadable = 0;
const delivered: Record<string, number> = {};
const errors = new Map<unknown, object>();
const source = platformaticSource(
  {
    createConsumer: (o) => new Consumer({ clientId: 'memory', bootstrapBrokers: brokers.split(','), ...o }),
    compressionsAlgorithms,
  },
  {
    groupId: `memory-${process.pid}`,
    topics: [topic],
    decompressedBytesMax: Number(mebibytes) * 1024 * 1024,
  },
);
const enough = setInterval(() => {
  // Records, and partitions that wait.
  if (Object.values(delivered).reduce((sum, n) => sum + n, errors.size) < Number(until)) return;
  clearInterval(enough);
  const [, kibibytes = ''] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  process.stdout.write(
    JSON.stringify({
      delivered,
      unreadable,
      errors: [...errors.values()],
      peakMebibytes: Number(kibibytes) / 1024,
    }),
  );
  void source.stop();
}, 50);
source.start({
  logger: {
    ...silentLogger,
    error: (fields: { partition?: number }) => errors.set(fields.partition, fields),
  },
  count: (what) => {
    if (what === 'unreadableBatches') unreadable++;
  },
  onChunk: async ({ records, commitOffsets }) => {
    const { partition } = records[0];
    delivered[partition] = (delivered[partition] ?? 0) + records.length;
    await commitOffsets();
    return 'accepted';
  },
});
