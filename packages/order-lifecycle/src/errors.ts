/** Why an order could not be changed. */
export type LifecycleErrorCode =
  | 'LIFECYCLE_ORDER_NOT_FOUND' // no such order
  | 'LIFECYCLE_ORDER_TWICE' // the caller gave two commands for one order in one call
  | 'LIFECYCLE_CONTENDED'; // it changed under us too often

/** An order could not be changed for a reason that is not a decision of the state machine. */
export class LifecycleError extends Error {
  readonly code: LifecycleErrorCode;

  constructor(code: LifecycleErrorCode, message: string) {
    super(message);
    this.name = 'LifecycleError';
    this.code = code;
  }
}
