import { ask, run } from '../ask.ts';
import { placeOffsetSql } from '../migrations/0003-dead-letter-decisions.ts';
import type { ConsumedRecord } from '../record.ts';
import { provisionalKeyOf, storeScheduled } from '../retries/scheduled-events.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { type BytesRow, bytesColumns, keptRecordOf } from './show-dead-letter.ts';

/** Why nothing was changed. */
export type DeadLetterRefusal =
  | 'unknown' // there is no such letter
  | 'decided' // it waits for no decision: it is being tried again, was handled, or was given up
  | 'no-record' // it is not a record of a topic
  | 'cut'; // its bytes were cut, and the whole ones are nowhere

/**
 * Gives a dead letter that has none a row in `scheduled_events`, made of the bytes it kept, and makes it due. What its
 * event is called, and which key it is of, only the consumer's `decode` can say; the retry executor asks it.
 *
 * A letter of an older version is of an event whose inbox row stands, written for this very record: it keeps that
 * event's id, so that it is handled and not taken for a duplicate. An inbox row for another record with the same id does
 * not count: that one was handled.
 */
export async function scheduleLetter(
  tx: ConsumerTransaction,
  id: string,
): Promise<DeadLetterRefusal | undefined> {
  const letter = (await ask(
    tx,
    `WITH mine AS (
       SELECT * FROM dead_letter_events WHERE id = $1::uuid AND state = 'DEAD' FOR UPDATE
     ) SELECT coalesce((SELECT to_json(l) FROM (
       SELECT d.worker_id AS consumer_name, d.topic, d."partition", ${placeOffsetSql('d')}::text AS "offset",
         d.reason, ${bytesColumns},
         (SELECT p.event_id FROM processed_events p
          WHERE p.event_id = d.event_id AND p.worker_id = d.worker_id AND p.topic = d.topic
            AND p."partition" = d."partition" AND p."offset" = ${placeOffsetSql('d')}) AS inbox_id
       FROM mine d LEFT JOIN scheduled_events s ON s.seq = d.scheduled_seq) l), 'null')::text AS answer`,
    [id],
  )) as LetterRow | null;
  if (letter === null || letter.is_scheduled) return 'decided';
  const { isWhole, ...kept } = keptRecordOf(letter);
  if (!isWhole) return 'cut';
  const { topic, partition, offset } = letter;
  const record: ConsumedRecord = { topic, partition, offset, ...kept };
  const [seq] = await storeScheduled(tx, letter.consumer_name, [
    {
      eventId: letter.inbox_id ?? `dead-letter:${id}`,
      orderingKey: provisionalKeyOf(record, id),
      record,
      state: 'DUE',
      attempts: 0,
      delayMs: 0,
      reason: letter.reason,
    },
  ]);
  await run(
    tx,
    `UPDATE dead_letter_events SET state = 'DUE', scheduled_seq = $2::bigint, decided_at = clock_timestamp()
     WHERE id = $1::uuid AND state = 'DEAD'`,
    [id, seq],
  );
  return undefined;
}

interface LetterRow extends BytesRow {
  readonly consumer_name: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly reason: string;
  readonly inbox_id: string | null;
}
