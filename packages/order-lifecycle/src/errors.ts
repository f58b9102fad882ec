/** `LIFECYCLE_ORDER_NOT_FOUND`: no such order. `LIFECYCLE_CONTENDED`: it changed under us too often. */
export type LifecycleErrorCode = 'LIFECYCLE_ORDER_NOT_FOUND' | 'LIFECYCLE_CONTENDED';

/** An order could not be changed for a reason that is not a decision of the state machine. */
export class LifecycleError extends Error {
  readonly code: LifecycleErrorCode;

  constructor(code: LifecycleErrorCode, message: string) {
    super(message);
    this.name = 'LifecycleError';
    this.code = code;
  }
}
