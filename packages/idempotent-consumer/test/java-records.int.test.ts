import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installedKafka, kafkaCommand } from '@orders/dev-stack/own-servers';
import { testStack } from '@orders/dev-stack/testing';
import { describe, expect, it } from 'vitest';
import type { ConsumedRecord, RecordSource } from '../src/index.ts';
import { kafkajsSource } from '../src/kafkajs.ts';
import { platformaticSource } from '../src/platformatic.ts';
import { unpackHeaders } from '../src/retries/stored-record.ts';
import {
  committedOffset,
  countUp,
  createTestTopic,
  decodeCount,
  soon,
  testKafka,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';
import { createTestConsumer, sourceDefaults } from './platformatic-fixture.ts';

/** The Java producer writes what kafkajs cannot: null header values, names that repeat, a null key and value. */
async function produceByJava(topic: string): Promise<void> {
  const { command, args } = kafkaCommand(join(import.meta.dirname, 'JavaRecords.java'), [
    testStack().kafkaBrokers.join(','),
    topic,
  ]);
  await promisify(execFile)(command, ['-Xmx128m', '-XX:TieredStopAtLevel=1', ...args]);
}

/** Kafka's jars are there unless the servers of the tests are others' (DEV_STACK). */
function hasJars(): boolean {
  try {
    return installedKafka().kafka !== '';
  } catch {
    return false;
  }
}

const sources = [
  {
    client: 'kafkajs',
    open: (groupId: string, topic: string): RecordSource =>
      kafkajsSource({ kafka: testKafka() }, { groupId, topics: [topic] }),
  },
  {
    client: 'platformatic',
    open: (groupId: string, topic: string): RecordSource =>
      platformaticSource(
        { createConsumer: createTestConsumer },
        { ...sourceDefaults, groupId, topics: [topic] },
      ),
  },
];

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const bytes = (text: string) => Buffer.from(text);

/** What JavaRecords.java writes, header by header. */
const written: Readonly<Record<string, unknown>>[] = [
  { type: bytes('count'), id: null },
  { type: null },
  {},
  { '': [bytes('empty name'), null, bytes('')] },
  { type: [bytes('count'), bytes('count'), null] },
  Object.fromEntries([
    ['__proto__', [bytes('p'), null]],
    ['constructor', bytes('c')],
    ['toString', null],
  ]),
  { 'a\u0000b': bytes('nul'), '💥': Buffer.from([0, 0xff, 0xc3]) },
  Object.fromEntries(
    Array.from({ length: 5_000 }, (_, i) => [`h${i}`, i % 2 ? Buffer.from([i % 256]) : null]),
  ),
];
const entries = (headers: object) => Object.entries(headers).toSorted(([a], [b]) => (a < b ? -1 : 1));

describe('records of a Java producer', () => {
  const db = useDatabase();
  const startConsumer = useConsumers(db);

  it.skipIf(!hasJars()).each(sources)(
    'with null, repeated, empty and strange headers are dead letters, byte for byte, and what follows is handled ($client)',
    async ({ open }) => {
      const groupId = uniqueName('group');
      const topic = await createTestTopic('java');
      const name = uniqueName('java');
      await produceByJava(topic);
      const { consumer, consumerName } = await startConsumer({
        topic,
        groupId,
        deps: { source: open(groupId, topic) },
        decode: (record: ConsumedRecord) => {
          const decoded = decodeCount(record);
          return decoded.kind === 'skip' ? { kind: 'invalid', reason: 'no type' } : decoded;
        },
        handle: (tx) => countUp(tx, { id: name, name }),
      });
      await expect.poll(() => committedOffset(groupId, topic), { ...soon, timeout: 90_000 }).toBe(9);
      expect(await db().counted(name)).toBe(1);
      expect(consumer.counts()).toMatchObject({ handled: 1, deadLetters: 8, sourceRestarts: 0, retries: 0 });
      expect(consumer.isHealthy()).toBe(true);
      const letters = await db().deadLetters(consumerName);
      expect(letters).toHaveLength(written.length);
      for (const [i, letter] of letters.entries()) {
        expect(letter).toMatchObject({
          offset: String(i),
          key: i % 2 === 0 ? null : Buffer.from([0xfe, 0]),
          value: i % 3 === 0 ? null : i % 3 === 1 ? Buffer.alloc(0) : everyByte,
          recorded_at_ms: i === 1 ? '0' : String(1_700_000_000_000 + i),
        });
        const headers = unpackHeaders(letter.headers_exact as Buffer);
        expect(entries(headers)).toEqual(entries(written[i] as object));
      }
      expect(letters[0]?.headers).toEqual({ type: 'count', id: null });
    },
    120_000,
  );
});
