import { inspect } from 'node:util';

/** What can go wrong in this package. */
export type OutboxErrorCode =
  | 'OUTBOX_NOT_IN_TRANSACTION' // `add` was given a pool, or a connection whose transaction is over
  | 'OUTBOX_EVENT_INVALID' // the message names the field of the event
  | 'OUTBOX_EVENT_TOO_LARGE' // the message names size and limit
  | 'OUTBOX_NOT_MIGRATED' // the tables of this package are missing
  | 'OUTBOX_ANSWER_UNEXPECTED' // the pool or its connection answers otherwise than PostgreSQL does; the message names the column
  | 'OUTBOX_RESTORED' // the tables were restored from another server; `adoptRestoredOutbox` is the way out
  | 'OUTBOX_OPTION_INVALID' // the message names the option
  | 'OUTBOX_HISTORY_INVALID' // the history checker was given an event id that is written twice
  | 'OUTBOX_DEAD_LETTER_UNKNOWN' // none such waits for a decision
  | 'OUTBOX_PARTITIONS_FORBIDDEN' // in the log: the relay's role does not own the table
  | 'OUTBOX_RELAY_STARTED' // `start` was called twice
  | 'OUTBOX_PUBLISH_TIMEOUT' // the publisher gave no answer in time; the records count as not acknowledged
  | 'OUTBOX_PUBLISHER_BROKE_CONTRACT' // not one result per record
  | 'OUTBOX_PUBLISHER_DISCONNECTED'; // `publish` was called after `disconnect`

/** Error of this package; `code` is stable. */
export class OutboxError extends Error {
  readonly code: OutboxErrorCode;

  constructor(code: OutboxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OutboxError';
    this.code = code;
  }
}

/** Anything thrown, as an Error. Never throws itself, whatever it is given. */
export const asError = (thrown: unknown): Error =>
  thrown instanceof Error
    ? thrown
    : new Error(typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1 }));
