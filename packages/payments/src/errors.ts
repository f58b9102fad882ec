/**
 * `PAYMENTS_OPTIONS_INVALID`: durations or limits that would break the protocol.
 * `PAYMENTS_ROW_MISSING`: an order, payment or attempt that must exist does not.
 */
export type PaymentsErrorCode = 'PAYMENTS_OPTIONS_INVALID' | 'PAYMENTS_ROW_MISSING';

/** Something that is not an outcome of a payment but a mistake of configuration or of the data. */
export class PaymentsError extends Error {
  readonly code: PaymentsErrorCode;

  constructor(code: PaymentsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PaymentsError';
    this.code = code;
  }
}
