import { reasonOf } from './reason.ts';

/** What the consumer logs to: fields first, then the sentence. pino fits. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A logger that never throws. Handlers may throw anything, and a serializer fails at an error that is frozen or has a
 * getter that throws: then its reason is logged in its place. What cannot be logged is no reason to do work again.
 */
export function steadyLogger(logger: Logger): Logger {
  const at =
    (level: keyof Logger) =>
    (fields: object, message: string): void => {
      try {
        logger[level](fields, message);
      } catch {
        try {
          const { err, ...others } = fields as { err?: unknown };
          logger[level]({ ...others, reason: reasonOf(err) }, message);
        } catch {
          // There is no one left to tell.
        }
      }
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
