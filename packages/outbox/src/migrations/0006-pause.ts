/** A row while the relays are to publish nothing. */
const pauseTable = `
    CREATE TABLE outbox_pause (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      since timestamptz NOT NULL DEFAULT clock_timestamp(),
      reason text NOT NULL
    )`;

/** Expand. */
export const addPause: readonly string[] = [pauseTable];
