import { insertDeadLetters } from '../src/dead-letters/dead-letters.ts';
import { storeScheduled } from '../src/retries/scheduled-events.ts';
import type { TestDb } from './harness.ts';

/** A letter as {@link storeLetters} writes it; what is left out is made up from its number. */
export interface TestLetter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: string;
}

/** Dead letters of events that failed, with their scheduled rows, at offsets 0, 1, … of one partition. */
export async function storeLetters(db: TestDb, consumerName: string, letters: readonly TestLetter[]) {
  await db.transaction(async (tx) => {
    const events = letters.map(
      ({ topic = 'letters', key = `k-${consumerName}-${n++}`, reason = 'TypeError' }, i) => ({
        eventId: `${consumerName}-${topic}-${i}`,
        orderingKey: `key:${key}`,
        record: {
          topic,
          partition: 0,
          offset: String(i),
          key: Buffer.from(key),
          value: Buffer.from(key),
          headers: { type: Buffer.from('count'), id: Buffer.from(`${consumerName}-${topic}-${i}`) },
          timestampMs: 0,
        },
        state: 'DEAD' as const,
        attempts: 3,
        delayMs: 0,
        reason,
      }),
    );
    const seqs = await storeScheduled(tx, consumerName, events);
    await insertDeadLetters(
      tx,
      events.map(({ record, eventId, reason, attempts }, i) => {
        const scheduledSeq = seqs[i] ?? null;
        return { ...record, consumerName, eventId, payload: null, reason, attempts, scheduledSeq };
      }),
    );
  });
  return (await db.deadLetters(consumerName)).map(({ id }) => String(id));
}

let n = 0;
