/**
 * A row with `held_at` has left the hot read: it is a dead letter, or waits behind one. The index of held rows is empty
 * as a rule, so that the usual row is in one index as before. An unpublished row is in exactly one of the two.
 */
const heldRows = [
  `ALTER TABLE outbox ADD COLUMN held_at timestamptz`,
  `DROP INDEX outbox_unpublished`,
  `
    CREATE INDEX outbox_unpublished ON outbox (bucket, seq)
    WHERE published_at IS NULL AND held_at IS NULL`,
  `
    CREATE INDEX outbox_held ON outbox (bucket, aggregatetype, aggregateid, seq)
    WHERE published_at IS NULL AND held_at IS NOT NULL`,
];

/**
 * `outbox_blocked`: aggregates of which nothing is read from the hot index. BLOCKED: all wait; REDRIVING: their held
 * rows are published in order, and the entry goes with the last of them.
 * `blocks`: whether the aggregate waits for this dead letter. `history`: what was done about it, and when.
 */
const tables = [
  `
    CREATE TABLE outbox_blocked (
      bucket smallint NOT NULL,
      aggregatetype text NOT NULL,
      aggregateid text NOT NULL,
      state text NOT NULL CHECK (state IN ('BLOCKED', 'REDRIVING')),
      since timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (bucket, aggregatetype, aggregateid)
    )`,
  `
    CREATE TABLE outbox_dead_letters (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      seq bigint NOT NULL UNIQUE,
      created_at timestamptz NOT NULL,
      event_id uuid NOT NULL,
      bucket smallint NOT NULL,
      topic text NOT NULL,
      key text NOT NULL,
      type text NOT NULL,
      aggregatetype text NOT NULL,
      aggregateid text NOT NULL,
      state text NOT NULL DEFAULT 'DEAD' CHECK (state IN ('DEAD', 'REDRIVEN', 'SKIPPED')),
      blocks boolean NOT NULL,
      reason text NOT NULL,
      attempts integer NOT NULL DEFAULT 1,
      failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      history jsonb NOT NULL DEFAULT '[]'
    )`,
  `
    CREATE INDEX outbox_dead_letters_dead ON outbox_dead_letters (aggregatetype, aggregateid)
    WHERE state = 'DEAD'`,
];

/** Takes a decision about dead letters; their aggregates go on unless another dead letter still blocks them. */
const resolveFunction = [
  `
    CREATE FUNCTION outbox_resolve_dead_letters(ids bigint[], new_state text, why text)
    RETURNS SETOF outbox_dead_letters
    LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$
    DECLARE
      letter outbox_dead_letters;
    BEGIN
      FOR letter IN
        SELECT * FROM outbox_dead_letters WHERE id = ANY (ids) AND state = 'DEAD' ORDER BY id FOR UPDATE
      LOOP
        UPDATE outbox_dead_letters
        SET state = new_state,
            history = history || jsonb_build_object('at', clock_timestamp(), 'action', new_state, 'reason', why)
        WHERE id = letter.id RETURNING * INTO letter;
        IF new_state = 'SKIPPED' THEN
          -- Done with, so that its partition can go; that it was not published stands in the dead letter.
          UPDATE outbox SET published_at = clock_timestamp()
          WHERE seq = letter.seq AND created_at = letter.created_at AND published_at IS NULL;
        END IF;
        -- Locked before one looks for others: who makes another dead letter of the aggregate holds the entry.
        PERFORM FROM outbox_blocked b
        WHERE b.bucket = letter.bucket AND b.aggregatetype = letter.aggregatetype
          AND b.aggregateid = letter.aggregateid FOR UPDATE;
        INSERT INTO outbox_blocked AS b (bucket, aggregatetype, aggregateid, state)
        SELECT letter.bucket, letter.aggregatetype, letter.aggregateid, 'REDRIVING'
        WHERE NOT EXISTS (
          SELECT FROM outbox_dead_letters d
          WHERE d.aggregatetype = letter.aggregatetype AND d.aggregateid = letter.aggregateid
            AND d.bucket = letter.bucket AND d.state = 'DEAD' AND d.blocks)
        ON CONFLICT (bucket, aggregatetype, aggregateid) DO UPDATE SET state = 'REDRIVING';
        RETURN NEXT letter;
      END LOOP;
    END
    $$`,
];

/**
 * Frees aggregates all of whose held rows have been published. The entry is locked before one looks for held rows, in
 * a snapshot of its own: a relay that moves rows holds the entry, so that it has either finished or finds it gone.
 */
const finishFunction = [
  `
    CREATE FUNCTION outbox_finish_redrives(relay text, buckets smallint[]) RETURNS integer
    LANGUAGE plpgsql SET search_path FROM CURRENT
    AS $$
    DECLARE
      redriving outbox_blocked;
      finished integer := 0;
    BEGIN
      FOR redriving IN
        SELECT b.* FROM outbox_blocked b JOIN outbox_buckets o ON o.bucket = b.bucket AND o.owner = relay
        WHERE b.bucket = ANY (buckets) AND b.state = 'REDRIVING' FOR UPDATE OF b SKIP LOCKED
      LOOP
        DELETE FROM outbox_blocked b
        WHERE b.bucket = redriving.bucket AND b.aggregatetype = redriving.aggregatetype
          AND b.aggregateid = redriving.aggregateid AND b.state = 'REDRIVING'
          AND NOT EXISTS (
            SELECT FROM outbox o
            WHERE o.bucket = b.bucket AND o.aggregatetype = b.aggregatetype AND o.aggregateid = b.aggregateid
              AND o.published_at IS NULL AND o.held_at IS NOT NULL
              AND NOT EXISTS (SELECT FROM outbox_dead_letters d WHERE d.seq = o.seq AND d.state = 'DEAD'));
        IF FOUND THEN finished := finished + 1; END IF;
      END LOOP;
      RETURN finished;
    END
    $$`,
];

/**
 * Expand: writers of before go on as they are. A relay of before does not know `held_at` and would publish held rows
 * before their turn; there are none until a relay of this release makes the first, so end the old relays before that.
 */
export const createDeadLetters: readonly string[] = [
  ...heldRows,
  ...tables,
  ...resolveFunction,
  ...finishFunction,
];
