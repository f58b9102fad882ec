import { asError } from './errors.ts';
import type { OutboundRecord, PublishResult } from './publisher.ts';
import { recordsInParts } from './record-parts.ts';
import { isRefusal, unserialisable } from './refusal.ts';

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

  function refuse(record: OutboundRecord, error: Error): void {
    refusedKeys.add(record.key);
    results.set(record, { acknowledged: false, error, permanent: true });
  }

  async function sendPart(part: readonly OutboundRecord[]): Promise<void> {
    const allowed = refusedKeys.size === 0 ? part : part.filter(({ key }) => !refusedKeys.has(key));
    const [first] = allowed;
    if (first === undefined) return;
    try {
      await send(allowed);
    } catch (thrown) {
      if (!isRefusal(thrown)) throw thrown;
      if (allowed.length === 1) {
        refuse(first, asError(thrown));
        return;
      }
      const half = Math.ceil(allowed.length / 2);
      await sendPart(allowed.slice(0, half));
      await sendPart(allowed.slice(half));
      return;
    }
    for (const record of allowed) results.set(record, { acknowledged: true });
  }

  async function sendAll(sound: readonly OutboundRecord[]): Promise<void> {
    for (const part of recordsInParts(sound, partBytesMax)) await sendPart(part);
  }

  try {
    let sound: OutboundRecord[] = [];
    for (const record of records) {
      const problem = unserialisable(record);
      if (problem === undefined) {
        sound.push(record);
        continue;
      }
      await sendAll(sound); // what stands before it
      sound = [];
      if (!refusedKeys.has(record.key)) refuse(record, problem);
    }
    await sendAll(sound);
  } catch (thrown) {
    const failure: PublishResult = { acknowledged: false, error: asError(thrown) };
    for (const record of records) if (!results.has(record)) results.set(record, failure);
  }
}
