import { fork } from 'node:child_process';
import { once } from 'node:events';
import kafkajs from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { registerCodecs } from '../src/kafkajs/codecs.ts';
import {
  committedOffset,
  createTestTopic,
  createTopic,
  produce,
  soon,
  testKafka,
  testStack,
  text,
  uniqueName,
  useSources,
} from './kafkajs-harness.ts';

const { CompressionCodecs, CompressionTypes } = kafkajs;
const mebibyte = 1024 * 1024;
const compressible = (count: number, bytes: number) =>
  Array.from({ length: count }, (_, i) => text(`${i}-`.padEnd(bytes, 'x')));

describe('compressed batches', () => {
  const start = useSources();
  registerCodecs(); // the producers' too

  it.each(['gzip', 'snappy', 'lz4', 'zstd'])(
    'of a topic that its broker compresses by %s are read',
    async (name) => {
      const topic = await createTopic(name, { configEntries: [{ name: 'compression.type', value: name }] });
      const values = Array.from({ length: 200 }, (_, i) => `${i} `.repeat(1 + (i % 50) * 40));
      await produce(topic, values.map(text));
      await produce(topic, ['last'].map(text));
      const { records, groupId, log } = start({ topics: [topic] });
      await expect.poll(() => records.length, soon).toBe(201);
      expect(records.map((record) => Buffer.from(record.value ?? []).toString())).toEqual([
        ...values,
        'last',
      ]);
      await expect.poll(() => committedOffset(groupId, topic), soon).toBe(201);
      expect(log.filter((entry) => entry.level === 'error')).toEqual([]);
    },
  );

  it('that alone become larger than they may stop their partition, named, and no other', async () => {
    const topic = await createTestTopic('large', { partitions: 3 });
    await produce(topic, [text('before')]);
    await produce(topic, compressible(4, mebibyte), { compression: CompressionTypes.GZIP });
    await produce(topic, [text('behind')]);
    for (const partition of [1, 2]) await produce(topic, ['a', 'b'].map(text), { partition });
    const { places, log, counted, source, groupId } = start({
      topics: [topic],
      decompressedBytesMax: 2 * mebibyte,
    });
    await expect.poll(() => counted, soon).toEqual(['unreadableBatches']);
    await produce(topic, [text('c')], { partition: 1 });
    await expect.poll(() => places().length, soon).toBe(6);
    expect(places().sort()).toEqual(['0:0', '1:0', '1:1', '1:2', '2:0', '2:1']);
    const errors = log.filter((entry) => entry.level === 'error');
    expect(errors[0]?.fields).toMatchObject({
      topic,
      partition: 0,
      offset: '1',
      batch: { first: '1', last: '4' },
      attempts: 1,
    });
    expect(errors[0]?.message).toContain('raise decompressedBytesMax');
    expect(errors[0]?.message).toContain('offset to 5');
    expect(source.isHealthy()).toBe(true);
    // It is tried again ever more seldom, and is counted once.
    await expect.poll(() => log.filter((entry) => entry.level === 'error').length, soon).toBe(3);
    const delays = log.filter((entry) => entry.level === 'error').map((entry) => entry.fields.retryInMs);
    expect(delays).toEqual([1_000, 2_000, 4_000]);
    expect(counted).toEqual(['unreadableBatches']);
    expect(await committedOffset(groupId, topic)).toBe(1);
  });

  it('that together become larger than they may are read one after the other', async () => {
    const topic = await createTestTopic('together', { partitions: 2 });
    for (let batch = 0; batch < 5; batch++) {
      for (const partition of [0, 1]) {
        await produce(topic, compressible(3, mebibyte / 2), {
          partition,
          compression: CompressionTypes.GZIP,
        });
      }
    }
    const { places, log } = start({ topics: [topic], decompressedBytesMax: 2 * mebibyte });
    await expect.poll(() => places().length, soon).toBe(30);
    const of = (partition: number) => places().filter((place) => place.startsWith(`${partition}:`));
    for (const partition of [0, 1]) {
      expect(of(partition)).toEqual(Array.from({ length: 15 }, (_, offset) => `${partition}:${offset}`));
    }
    expect(log.filter((entry) => entry.level === 'error')).toEqual([]);
  });

  it('that nobody can decode are one clear error with advice, and few of kafkajs', async () => {
    const missing = CompressionCodecs[CompressionTypes.ZSTD];
    CompressionCodecs[CompressionTypes.ZSTD] = () => {
      throw Object.assign(new Error('ZSTD compression not implemented'), { name: 'KafkaJSNotImplemented' });
    };
    try {
      const name = { configEntries: [{ name: 'compression.type', value: 'zstd' }] };
      const topic = await createTopic('nobody', name);
      const plain = await createTestTopic('plain');
      await produce(topic, ['a', 'b'].map(text));
      await produce(plain, ['a', 'b'].map(text));
      const ofKafkajs: string[] = [];
      const kafka = testKafka((level, message) => {
        if (level === kafkajs.logLevel.ERROR) ofKafkajs.push(message);
      });
      const { records, log, counted } = start({ topics: [topic, plain], kafka, registerCodecs: false });
      await expect.poll(() => log.filter((entry) => entry.level === 'error').length, soon).toBe(3);
      expect(records.map((record) => record.topic)).toEqual([plain, plain]);
      expect(log.at(-1)?.fields).toMatchObject({ topic, partition: 0, offset: '0' });
      expect(log.at(-1)?.message).toContain('registerCodecs');
      expect(counted).toEqual(['unreadableBatches']);
      expect(ofKafkajs.length).toBeLessThan(8);
    } finally {
      CompressionCodecs[CompressionTypes.ZSTD] = missing;
    }
  });

  it.each(['GZIP', 'ZSTD'] as const)(
    '300 records of 1 MB in one batch that %s makes nothing of stay within 768 MiB',
    async (name) => {
      const topic = await createTopic('nothing', {
        configEntries: [{ name: 'max.message.bytes', value: String(64 * mebibyte) }],
      });
      await produce(topic, compressible(300, mebibyte), { compression: CompressionTypes[name] });
      const options = { brokers: testStack().kafkaBrokers, topic, groupId: uniqueName('group') };
      const child = fork(new URL('./kafkajs-memory.ts', import.meta.url), [JSON.stringify(options)]);
      const [{ peakMib, counted }] = await once(child, 'message');
      await once(child, 'exit');
      expect(counted).toContain('unreadableBatches');
      expect(peakMib).toBeLessThanOrEqual(768);
      expect(peakMib).toBeGreaterThan(0);
    },
    180_000, // compressing it takes long on a busy machine
  );
});
