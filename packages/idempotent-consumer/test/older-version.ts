import type pg from 'pg';
import type { DeadLetter } from '../src/index.ts';

/** What stands on a topic, as the version before `scheduled_events` wrote it down. */
export function olderLetter(
  letter: Pick<DeadLetter, 'consumerName' | 'topic' | 'offset'> & { readonly value: string },
): DeadLetter {
  const { consumerName, topic, offset } = letter;
  const none = { eventId: null, key: null, headers: {}, payload: null, reason: 'older', attempts: 1 };
  return { ...none, consumerName, topic, partition: 0, offset, value: Buffer.from(letter.value) };
}

/** The statement of that version, word for word. @returns the places of the rows that were new */
export async function storeAsOlderVersion(pool: pg.Pool, letter: DeadLetter): Promise<string[]> {
  const { rows } = await pool.query(
    `
    INSERT INTO dead_letter_events
      (event_id, worker_id, topic, "partition", "offset", key, value, headers, payload, reason, attempts, round)
    SELECT * FROM unnest(
      $1::text[],
      $2::text[],
      $3::text[],
      $4::int[],
      $5::bigint[],
      $6::bytea[],
      $7::bytea[],
      $8::jsonb[],
      $9::jsonb[],
      $10::text[],
      $11::int[],
      $12::int[]
    ) AS l (event_id, worker_id, topic, "partition", "offset")
    ORDER BY l.worker_id, l.topic, l."partition", l."offset"
    ON CONFLICT (worker_id, topic, "partition", "offset") WHERE "offset" IS NOT NULL DO NOTHING
    RETURNING "partition" || ':' || "offset" || ':' || topic AS place`,
    [
      [letter.eventId],
      [letter.consumerName],
      [letter.topic],
      [letter.partition],
      [letter.offset],
      [letter.key],
      [letter.value],
      [JSON.stringify(letter.headers)],
      [null],
      [letter.reason],
      [letter.attempts],
      [1],
    ],
  );
  return rows.map(({ place }) => place);
}

/** Of the same version: takes events in. @returns the ids that were new */
export async function insertAsOlderVersion(
  client: Pick<pg.Pool | pg.PoolClient, 'query'>,
  consumerName: string,
  events: readonly { eventId: string; topic: string; offset: string }[],
): Promise<string[]> {
  const { rows } = await (client as pg.Pool).query(
    `
    INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset")
    SELECT e.event_id, $1, e.topic, e."partition", e."offset"
    FROM unnest(
      $2::text[],
      $3::text[],
      $4::int[],
      $5::bigint[]
    ) AS e (event_id, topic, "partition", "offset")
    ORDER BY e.event_id COLLATE "C"
    ON CONFLICT (event_id, worker_id) DO NOTHING
    RETURNING event_id`,
    [
      consumerName,
      events.map(({ eventId }) => eventId),
      events.map(({ topic }) => topic),
      events.map(() => 0),
      events.map(({ offset }) => offset),
    ],
  );
  return rows.map(({ event_id }) => event_id);
}
