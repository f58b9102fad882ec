import { answerOf, ask, run } from '../ask.ts';
import type { RecordChunk } from '../source.ts';
import type { ConsumerTransaction } from '../transaction.ts';

/** A chunk as a consumer's group knows it. */
export interface ChunkPlace {
  readonly consumerName: string;
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  /** Decimal. */
  readonly firstOffset: string;
}

/** Says of each chunk whether its start is to be noted. */
export interface StartsToNote {
  has(chunk: RecordChunk): boolean;
  /** The chunk was taken over. */
  accepted(chunk: RecordChunk): void;
}

/** A chunk of more records is always noted. */
const unnotedRecordsMax = 500;
/** Records from a partition's beginning here in which all chunks are noted: the one that was in hand, and a few before. */
const notedRecords = 4 * unnotedRecordsMax;

/**
 * A note costs a transaction, and it tells something only to the process that comes after one that died. That one begins
 * where the group's offset stands: with the chunk that was in hand, or with a chunk before it whose commit was lost. So
 * the chunks are noted with which a partition begins here. A process that dies later dies once more for that.
 */
export function createStartsToNote(): StartsToNote {
  const partitions = new Map<string, { signal: AbortSignal; accepted: number }>();

  /** A membership that is over, and the partition's beginning with it, shows in the signal of its last chunk. */
  function partitionOf({ records: [{ topic, partition }], signal }: RecordChunk) {
    const key = `${partition} ${topic}`;
    const known = partitions.get(key);
    const accepted = known === undefined || known.signal.aborted ? 0 : known.accepted;
    const now = { signal, accepted };
    partitions.set(key, now);
    return now;
  }

  return {
    has: (chunk) => chunk.records.length > unnotedRecordsMax || partitionOf(chunk).accepted < notedRecords,
    accepted(chunk) {
      partitionOf(chunk).accepted += chunk.records.length;
    },
  };
}

/**
 * Notes, in a transaction of its own, that a chunk is begun. Losing this note with the server's memory is allowed: what
 * it is for is the client's death, which the server survives.
 * @returns false, and notes nothing, if it was begun before without anybody having said how it ended
 */
export async function beginChunk(tx: ConsumerTransaction, place: ChunkPlace): Promise<boolean> {
  const begun = await ask(
    tx,
    `WITH begun AS (
       INSERT INTO consumer_chunk_starts AS c (worker_id, group_id, topic, "partition", first_offset, starts)
       VALUES ($1, $2, $3, $4::int, $5::bigint, 1)
       ON CONFLICT (worker_id, group_id, topic, "partition") DO UPDATE SET first_offset = excluded.first_offset, starts = 1
         WHERE c.starts = 0 OR c.first_offset <> excluded.first_offset
       RETURNING 1
     ) ${answerOf(`SELECT (SELECT count(*) FROM begun) FROM set_config('synchronous_commit', 'off', true)`)}`,
    valuesOf(place),
  );
  return begun === 1;
}

/**
 * The same for a record that is done alone, which is begun however often it was begun before.
 * @returns how often that was, this time included, without anybody having said how it ended
 */
export async function beginAlone(tx: ConsumerTransaction, place: ChunkPlace): Promise<number> {
  const starts = await ask(
    tx,
    `WITH begun AS (
       INSERT INTO consumer_chunk_starts AS c (worker_id, group_id, topic, "partition", first_offset, starts)
       VALUES ($1, $2, $3, $4::int, $5::bigint, 1)
       ON CONFLICT (worker_id, group_id, topic, "partition") DO UPDATE SET first_offset = excluded.first_offset,
         starts = CASE c.first_offset WHEN excluded.first_offset THEN c.starts + 1 ELSE 1 END
       RETURNING starts
     ) ${answerOf(`SELECT starts FROM begun, set_config('synchronous_commit', 'off', true)`)}`,
    valuesOf(place),
  );
  return Number(starts);
}

/** The chunk has come to an end of which its process knows. */
export async function endChunk(tx: ConsumerTransaction, place: ChunkPlace): Promise<void> {
  await run(tx, endChunkSql, valuesOf(place));
}

const endChunkSql = `
    UPDATE consumer_chunk_starts SET starts = 0
    WHERE worker_id = $1 AND group_id = $2 AND topic = $3 AND "partition" = $4::int AND first_offset = $5::bigint`;

const valuesOf = ({ consumerName, groupId, topic, partition, firstOffset }: ChunkPlace): unknown[] => [
  consumerName,
  groupId,
  topic,
  partition,
  firstOffset,
];
