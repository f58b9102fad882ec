import pino from 'pino';
import type { LogLevel } from './config.ts';
import { redact, redacted, secretPaths } from './redaction.ts';

/** What our libraries log to; each declares it itself. Fields first, then the sentence. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * A pino logger that writes one JSON line per entry (`level, time, service, …, msg`) to standard output, at once:
 * a line that was logged is there even if the process is killed in the next instant. Secrets are taken out
 * by their field's name, at any depth; put an error under `err`.
 */
export function createLogger(options: {
  service: string;
  level?: LogLevel;
  destination?: pino.DestinationStream;
}): pino.Logger {
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (level) => ({ level }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
      // The formatter does not see what a child logger is bound to; these paths do.
      redact: { paths: [...secretPaths], censor: redacted },
      // redact() has described it already.
      serializers: { err: (error) => error },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
