/** What can go wrong with the development stack. */
export type DevStackErrorCode =
  | 'DEV_STACK_IMPOSSIBLE' // neither Docker nor the embedded servers can run here
  | 'DEV_STACK_CONFIG' // DEV_STACK or DEV_STACK_… has a value that makes no sense
  | 'DEV_STACK_START_FAILED' // a server was started and did not come up
  | 'DEV_STACK_TIMEOUT';

/** Error of the development stack; `code` is stable, `message` is meant to be shown to the developer as it is. */
export class DevStackError extends Error {
  readonly code: DevStackErrorCode;

  constructor(code: DevStackErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DevStackError';
    this.code = code;
  }
}
