/** What can go wrong in a service's own machinery. */
export type RuntimeErrorCode =
  | 'RUNTIME_CONFIG_INVALID' // the environment lacks a variable or one has a value that makes no sense
  | 'RUNTIME_PROBES_FAILED'; // the probes' port cannot be listened on

/** Error of the service runtime; `code` is stable. */
export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RuntimeError';
    this.code = code;
  }
}

/** The environment does not fit; `problems` names every one of them, never a value. */
export class ConfigError extends RuntimeError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super('RUNTIME_CONFIG_INVALID', `invalid configuration: ${problems.join('; ')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
