/**
 * Events that are tried again, or wait behind one of their key: one row each, from its first failure until it is done
 * or decided upon. The record is kept byte for byte. `seq` is their order; the head of a key is its first unfinished row.
 */
const scheduledEvents = [
  `
    CREATE TABLE scheduled_events (
      seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      worker_id text NOT NULL,
      event_id text NOT NULL,
      ordering_key text NOT NULL,
      topic text NOT NULL,
      "partition" integer NOT NULL,
      "offset" bigint NOT NULL,
      key bytea,
      value bytea,
      headers bytea NOT NULL,
      recorded_at_ms bigint,
      state varchar NOT NULL CHECK (state IN ('DUE', 'DEAD', 'DONE', 'SKIPPED', 'DISCARDED')),
      attempts integer NOT NULL,
      next_at timestamptz NOT NULL,
      claims integer NOT NULL DEFAULT 0,
      starts integer NOT NULL DEFAULT 0,
      lease_until timestamptz,
      reason text,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      finished_at timestamptz
    ) WITH (fillfactor = 80)`,
  // Finds the head of a key, the keys that have one, and what waits behind it.
  `
    CREATE INDEX scheduled_events_unfinished ON scheduled_events (worker_id, ordering_key, seq)
      WHERE state IN ('DUE', 'DEAD')`,
  `CREATE INDEX scheduled_events_finished ON scheduled_events (finished_at) WHERE finished_at IS NOT NULL`,
];

/**
 * One row per partition and group: the chunk in hand, and how often it was begun by a process that did not live to
 * say how it ended. Written before the chunk, set to 0 with it.
 */
const chunkStarts = `
    CREATE TABLE consumer_chunk_starts (
      worker_id text NOT NULL,
      group_id text NOT NULL,
      topic text NOT NULL,
      "partition" integer NOT NULL,
      first_offset bigint NOT NULL,
      starts integer NOT NULL,
      PRIMARY KEY (worker_id, group_id, topic, "partition")
    ) WITH (fillfactor = 50)`;

/** What operators have said to all members of a consumer, and who said it. */
const control = [
  `
    CREATE TABLE consumer_control (
      worker_id text PRIMARY KEY,
      paused boolean NOT NULL DEFAULT false,
      kill_switch_off_until timestamptz,
      changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
  `
    CREATE TABLE consumer_audit (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      at timestamptz NOT NULL DEFAULT clock_timestamp(),
      worker_id text NOT NULL,
      actor text NOT NULL,
      action text NOT NULL,
      reason text,
      detail jsonb NOT NULL DEFAULT '{}'
    )`,
  `CREATE INDEX consumer_audit_at ON consumer_audit (at)`,
];

/**
 * A dead letter knows its record by a hash, since another record may come to stand at the same place (a topic made
 * anew, another cluster): then the older row gives up its place, kept in `former_place`. Older rows have no hash.
 */
const deadLetters = [
  `
    ALTER TABLE dead_letter_events
      ADD COLUMN record_hash bytea,
      ADD COLUMN recorded_at_ms bigint,
      ADD COLUMN headers_exact bytea,
      ADD COLUMN value_bytes integer,
      ADD COLUMN scheduled_seq bigint,
      ADD COLUMN former_place jsonb,
      ADD COLUMN decided_at timestamptz`,
  // Is a record that fails there already, behind another at its place?
  `
    CREATE INDEX dead_letter_events_former_place
      ON dead_letter_events (worker_id, topic, "partition", (former_place ->> 'offset'))
      WHERE former_place IS NOT NULL`,
  `CREATE INDEX dead_letter_events_scheduled ON dead_letter_events (scheduled_seq) WHERE scheduled_seq IS NOT NULL`,
];

/** Expand. */
export const createScheduledEvents: readonly string[] = [
  ...scheduledEvents,
  chunkStarts,
  ...control,
  ...deadLetters,
];
