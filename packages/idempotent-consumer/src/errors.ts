/** What can go wrong in this package. */
export type ConsumerErrorCode =
  | 'CONSUMER_NOT_IN_TRANSACTION' // a connection or pool was given where a transaction is needed
  | 'CONSUMER_NOT_MIGRATED' // the tables of this package are missing
  | 'CONSUMER_EVENT_ID_INVALID' // the message says why the id cannot be stored
  | 'CONSUMER_OPTION_INVALID'; // the message names the option

/** Error of this package; `code` is stable. */
export class ConsumerError extends Error {
  readonly code: ConsumerErrorCode;

  constructor(code: ConsumerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConsumerError';
    this.code = code;
  }
}
