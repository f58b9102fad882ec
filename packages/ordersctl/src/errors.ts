/** What can go wrong in a command beside the libraries' own errors. */
export type OrdersctlErrorCode =
  | 'ORDERSCTL_USAGE' // an option has a value that makes no sense
  | 'ORDERSCTL_UNREACHABLE' // PostgreSQL or Kafka does not answer
  | 'ORDERSCTL_DEAD_LETTER_REFUSED' // the message says what to do instead
  | 'ORDERSCTL_DEAD_LETTER_UNKNOWN' // there is none of this id
  | 'ORDERSCTL_JOB_UNKNOWN' // there is none of this number
  | 'ORDERSCTL_INTERRUPTED' // by Ctrl-C; the message says how to go on
  | 'ORDERSCTL_TOPIC_MISMATCH' // a topic exists with another number of partitions
  | 'ORDERSCTL_TOPIC_REFUSED' // the broker refuses to create a topic, or to show it
  | 'ORDERSCTL_TOPIC_NOT_READY'; // a topic was created and has no leaders yet

/** Error of a command; `code` is stable, `message` is shown to the operator as it is. */
export class OrdersctlError extends Error {
  readonly code: OrdersctlErrorCode;

  constructor(code: OrdersctlErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OrdersctlError';
    this.code = code;
  }
}
