/** What can go wrong in this package. */
export type ConsumerErrorCode =
  | 'CONSUMER_NOT_IN_TRANSACTION' // a connection or pool was given where a transaction is needed
  | 'CONSUMER_TRANSACTION_ABORTED' // nothing was stored: a failed statement was ignored
  | 'CONSUMER_ANSWER_UNEXPECTED' // a statement of this package was answered in another shape than asked for
  | 'CONSUMER_EVENT_ID_INVALID' // the message says why the id cannot be stored
  | 'CONSUMER_HANDLER_TIMEOUT' // a handler ran longer than `handleTimeoutMs`; nothing of it stands
  | 'CONSUMER_KILL_SWITCH' // many different events fail: this chunk was rolled back, and nothing of it was stored
  | 'CONSUMER_STOPPED' // `routeError` answered "stop": nothing was stored, and the consumer stands still
  | 'CONSUMER_JOB_UNKNOWN' // there is no job of this number
  | 'CONSUMER_NOT_MIGRATED' // the tables of this package are missing
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
