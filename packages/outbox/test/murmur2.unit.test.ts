import { Partitioners } from 'kafkajs';
import { expect, it } from 'vitest';
import { murmur2, partitionOf } from '../src/kafkajs/murmur2.ts';

// Vectors of Apache Kafka's own UtilsTest.
it.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('the murmur2 of %s is that of the Java client', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});

it("chooses the partition of kafkajs's default partitioner", () => {
  const partition = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: 12 }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 1,
    replicas: [],
    isr: [],
  }));
  const keys = Array.from({ length: 500 }, (_, i) => `tenant-${i % 7}:клиент-${i.toString(36)}`);
  for (const key of ['', ...keys]) {
    const theirs = partition({ topic: 't', partitionMetadata, message: { key, value: '' } });
    expect([key, partitionOf(key, 12)]).toEqual([key, theirs]);
  }
});
