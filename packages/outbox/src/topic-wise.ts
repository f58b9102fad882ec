import { asError } from './errors.ts';
import type { OutboundRecord, PublishResult } from './publisher.ts';
import { recordsInParts } from './record-parts.ts';

/**
 * Publishes each topic by itself, so that none touches another, in parts one after the other, and none after one that
 * failed. What both adapters of this package do around their client's `send`.
 */
export async function publishTopicWise(
  records: readonly OutboundRecord[],
  partBytesMax: number,
  send: (topic: string, part: readonly OutboundRecord[]) => Promise<unknown>,
): Promise<PublishResult[]> {
  const results = new Array<PublishResult>(records.length);
  const indexes = Map.groupBy(records.keys(), (i) => (records[i] as OutboundRecord).topic);

  async function publishTopic(topic: string, ofTopic: readonly number[]): Promise<void> {
    let acknowledged = 0;
    let failure: PublishResult | undefined;
    try {
      const own = ofTopic.map((i) => records[i] as OutboundRecord);
      for (const part of recordsInParts(own, partBytesMax)) {
        await send(topic, part);
        acknowledged += part.length;
      }
    } catch (thrown) {
      failure = { acknowledged: false, error: asError(thrown) };
    }
    ofTopic.forEach((index, n) => {
      results[index] = failure !== undefined && n >= acknowledged ? failure : { acknowledged: true };
    });
  }

  await Promise.all([...indexes].map(([topic, ofTopic]) => publishTopic(topic, ofTopic)));
  return results;
}
