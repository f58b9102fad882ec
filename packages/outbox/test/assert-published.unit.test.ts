import { beforeEach, expect, it } from 'vitest';
import { assertPublished, createMemoryBroker } from '../src/testing.ts';

const broker = createMemoryBroker();
const record = { topic: 't', headers: { type: 'made.v1', trace: 'x' } };

beforeEach(async () => {
  broker.createTopic('t');
  await broker.publisher.connect();
  await broker.publisher.publish([
    { ...record, id: '1', key: 'a', value: '{"n":1}' },
    { ...record, id: '2', key: 'b', value: Buffer.from('{"n":2}') },
  ]);
});

it('passes when the topic holds what is expected, and looks only at what is named', () => {
  assertPublished(broker, 't', [{ key: 'a', payload: { n: 1 }, headers: { type: 'made.v1' } }, { key: 'b' }]);
});

it.each([
  ['one is missing', [{ key: 'a' }]],
  ['one is too many', [{ key: 'a' }, { key: 'b' }, { key: 'c' }]],
  ['the order is another', [{ key: 'b' }, { key: 'a' }]],
  ['a payload differs', [{ payload: { n: 1 } }, { payload: { n: 3 } }]],
  ['a header is missing', [{ headers: { none: '1' } }, {}]],
])('fails when %s', (_, expected) => {
  expect(() => assertPublished(broker, 't', expected)).toThrow('records on the topic t');
});
