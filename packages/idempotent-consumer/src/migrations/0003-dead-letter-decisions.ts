/**
 * What operators decide about dead letters. A job replays or discards many: its row says how far it has come, so that
 * another process takes over when the one that runs it dies.
 */
const jobs = `
    CREATE TABLE consumer_replays (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      worker_id text NOT NULL,
      action varchar NOT NULL CHECK (action IN ('REPLAY', 'DISCARD')),
      filter jsonb NOT NULL,
      state varchar NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED')),
      total integer NOT NULL,
      done integer NOT NULL DEFAULT 0,
      failed integer NOT NULL DEFAULT 0,
      last_failure text,
      cursor jsonb,
      rate_per_second double precision,
      actor text NOT NULL,
      reason text NOT NULL,
      lease_owner text,
      lease_until timestamptz,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      finished_at timestamptz
    )`;

/** Where a letter's record stands, or stood before another one came to stand there. */
export const placeOffsetSql = (letter: string): string =>
  `coalesce(${letter}."offset", (${letter}.former_place ->> 'offset')::bigint)`;

/** Finds the letters that wait for a decision, in the order of their records. */
const undecided = `
    CREATE INDEX dead_letter_events_undecided ON dead_letter_events
      (worker_id, topic, "partition", ${placeOffsetSql('dead_letter_events')}, id) WHERE state = 'DEAD'`;

const audit = [
  `
    CREATE INDEX consumer_audit_letter ON consumer_audit ((detail ->> 'deadLetterId'), id)
      WHERE detail ? 'deadLetterId'`,
  `
    CREATE INDEX consumer_audit_pause ON consumer_audit (worker_id, id) WHERE action = 'pause'`,
];

/** Expand. */
export const createDeadLetterDecisions: readonly string[] = [jobs, undecided, ...audit];
