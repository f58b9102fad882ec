/** What can go wrong with the checks themselves, as opposed to what they find. */
export type ChecksErrorCode =
  | 'CHECKS_USAGE' // an unknown option, guard or package was asked for
  | 'CHECKS_GUARD_INVALID' // a guard's patch file does not follow the format
  | 'CHECKS_TOOL_FAILED'; // turbo, git or vitest could not do its part

/** Error of a check; `code` is stable, `message` is meant to be shown to the developer as it is. */
export class ChecksError extends Error {
  readonly code: ChecksErrorCode;

  constructor(code: ChecksErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ChecksError';
    this.code = code;
  }
}
