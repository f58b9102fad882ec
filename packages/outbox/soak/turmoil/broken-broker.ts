import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@orders/dev-stack/soak';
import type { OutboundRecord, Publisher, PublishResult } from '../../src/index.ts';

/** Header of events that this broker never takes, until it is cured. */
export const poison = { poison: 'yes' };

const slowMs = 60;

/** A broker in memory whose topics fail, whose answers get lost, and which does not take every event. */
export function createBrokenBroker(topics: readonly string[], random: Random) {
  const down = new Set<string>();
  const state = { isCured: false };
  /** Ids on each topic, in order. */
  const read = new Map<string, string[]>(topics.map((topic) => [topic, []]));

  function refusalOf(record: OutboundRecord): PublishResult | undefined {
    if (down.has(record.topic)) return { acknowledged: false, error: new Error('the topic is away') };
    if (record.headers.poison === poison.poison && !state.isCured)
      return { acknowledged: false, error: new Error('never'), permanent: true };
    return undefined;
  }

  const publisher: Publisher = {
    connect: async () => undefined,
    disconnect: async () => undefined,
    async publish(records) {
      await sleep(random.below(15));
      const isLost = random.chance(0.03);
      const refused = new Set<string>();
      const results = records.map((record): PublishResult => {
        const key = JSON.stringify([record.topic, record.key]);
        if (refused.has(key)) return { acknowledged: false, error: new Error('behind one that was refused') };
        const refusal = refusalOf(record);
        if (refusal !== undefined) {
          refused.add(key);
          return refusal;
        }
        read.get(record.topic)?.push(record.id);
        if (isLost) return { acknowledged: false, error: new Error('the answer is lost') };
        return { acknowledged: true };
      });
      if (random.chance(0.1)) await sleep(random.below(slowMs));
      return results;
    },
  };
  return { publisher, down, state, read };
}
