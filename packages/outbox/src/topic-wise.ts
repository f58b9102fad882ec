import { asError } from './errors.ts';
import type { OutboundRecord, PublishResult } from './publisher.ts';
import { recordsInParts } from './record-parts.ts';
import { isRefusal } from './refusal.ts';

type Send = (topic: string, part: readonly OutboundRecord[]) => Promise<unknown>;

/**
 * Publishes each topic by itself, so that none touches another, in parts one after the other, and none after one that
 * failed. A part that the broker refuses for good is halved until the record at fault is found; later records of that
 * key are left out. What both adapters of this package do around their client's `send`.
 */
export async function publishTopicWise(
  records: readonly OutboundRecord[],
  partBytesMax: number,
  send: Send,
): Promise<PublishResult[]> {
  const results = new Map<OutboundRecord, PublishResult>();
  const topics = Map.groupBy(records, (record) => record.topic);
  await Promise.all(
    [...topics].map(([topic, ofTopic]) =>
      publishTopic(ofTopic, partBytesMax, (part) => send(topic, part), results),
    ),
  );
  return records.map((record) => results.get(record) ?? leftOut);
}

const leftOut: PublishResult = {
  acknowledged: false,
  error: new Error('not sent: an earlier record of its key was refused'),
};

async function publishTopic(
  records: readonly OutboundRecord[],
  partBytesMax: number,
  send: (part: readonly OutboundRecord[]) => Promise<unknown>,
  results: Map<OutboundRecord, PublishResult>,
): Promise<void> {
  const refusedKeys = new Set<string>();

  async function sendPart(part: readonly OutboundRecord[]): Promise<void> {
    const allowed = refusedKeys.size === 0 ? part : part.filter(({ key }) => !refusedKeys.has(key));
    const [first] = allowed;
    if (first === undefined) return;
    try {
      await send(allowed);
    } catch (thrown) {
      if (!isRefusal(thrown)) throw thrown;
      if (allowed.length === 1) {
        refusedKeys.add(first.key);
        results.set(first, { acknowledged: false, error: asError(thrown), permanent: true });
        return;
      }
      const half = Math.ceil(allowed.length / 2);
      await sendPart(allowed.slice(0, half));
      await sendPart(allowed.slice(half));
      return;
    }
    for (const record of allowed) results.set(record, { acknowledged: true });
  }

  try {
    for (const part of recordsInParts(records, partBytesMax)) await sendPart(part);
  } catch (thrown) {
    const failure: PublishResult = { acknowledged: false, error: asError(thrown) };
    for (const record of records) if (!results.has(record)) results.set(record, failure);
  }
}
