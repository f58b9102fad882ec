/** Ids are text: they are the producer's, and not every producer uses UUIDs. */
const inbox = `
    CREATE TABLE processed_events (
      event_id text NOT NULL,
      worker_id text NOT NULL,
      processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      topic text,
      "partition" integer,
      "offset" bigint,
      PRIMARY KEY (event_id, worker_id)
    )`;

const deadLetters = [
  `
    CREATE TABLE dead_letter_events (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      event_id text,
      worker_id text NOT NULL,
      topic text,
      "partition" integer,
      "offset" bigint,
      key bytea,
      value bytea,
      headers jsonb NOT NULL DEFAULT '{}',
      payload jsonb,
      reason text NOT NULL,
      attempts integer NOT NULL DEFAULT 1,
      round integer NOT NULL DEFAULT 1,
      state varchar NOT NULL DEFAULT 'DEAD',
      failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
  `
    CREATE UNIQUE INDEX dead_letter_events_record ON dead_letter_events (worker_id, topic, "partition", "offset")
      WHERE "offset" IS NOT NULL`,
  `
    CREATE UNIQUE INDEX dead_letter_events_round ON dead_letter_events (worker_id, event_id, round)
      WHERE "offset" IS NULL`,
  `CREATE INDEX dead_letter_events_failed_at ON dead_letter_events (failed_at DESC)`,
];

/** Expand. */
export const createInboxAndDeadLetters: readonly string[] = [inbox, ...deadLetters];
