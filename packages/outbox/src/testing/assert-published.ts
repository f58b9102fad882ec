import { deepStrictEqual } from 'node:assert/strict';
import type { OutboundRecord } from '../publisher.ts';
import type { MemoryBroker } from './memory-broker.ts';

/** What is expected of a record; what is left out may be anything. */
export interface ExpectedRecord {
  readonly key?: string;
  /** The record's value, parsed as JSON. */
  readonly payload?: unknown;
  /** These headers; there may be others. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Asserts that a topic of the in-memory broker holds exactly these records, in this order within each partition (a
 * topic has one unless it was created with more).
 * @throws AssertionError that shows the difference
 */
export function assertPublished(
  broker: Pick<MemoryBroker, 'read'>,
  topic: string,
  expected: readonly ExpectedRecord[],
): void {
  const actual = broker.read(topic);
  const wanted = (record: OutboundRecord, like: ExpectedRecord | undefined): ExpectedRecord => ({
    ...(like?.key === undefined ? {} : { key: record.key }),
    ...(like?.payload === undefined
      ? {}
      : { payload: JSON.parse(Buffer.from(record.value as string).toString()) }),
    ...(like?.headers === undefined ? {} : { headers: pick(record.headers, Object.keys(like.headers)) }),
  });
  const shown = actual.map((record, i) => wanted(record, expected[i] ?? { key: '', payload: null }));
  deepStrictEqual(shown, [...expected], `records on the topic ${topic}`);
}

const pick = (headers: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
