/** The part of a logger that is needed here; pino fits. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const quiet = (): void => undefined;

/** Says nothing; for callers that give no logger. */
export const silentLogger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
