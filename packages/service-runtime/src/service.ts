import closeWithGrace from 'close-with-grace';
import { ConfigError } from './errors.ts';
import { createLogger, type Logger } from './logger.ts';

/** A service that has started. */
export interface RunningService {
  /** Takes no new work, finishes what is in flight, gives everything back. Called once. */
  stop(): Promise<void>;
}

type Events = NonNullable<closeWithGrace.Options['skip']>;

/** Signals of a crash cannot be handled in JavaScript, and SIGUSR2 is Node's and the operators'. */
const notOurs: Events = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2'];

/**
 * Runs a service until a signal ends the process; a `main.ts` calls it once.
 *
 * SIGTERM or SIGINT drains once: `stop()` runs, and the exit status is 0. A start that is still waiting for something
 * is told by its signal to give up; if it completes nevertheless, it is stopped like any other.
 * Status 1, with a line that says why: the start failed, the drain failed or took longer than `shutdownTimeoutMs`,
 * a second signal, an uncaught error. After an uncaught error nothing is drained: the state is unknown, and what was
 * in flight is taken up by the next process as after a crash.
 */
export async function runService(options: {
  logger: Logger;
  shutdownTimeoutMs: number;
  start: (stopping: AbortSignal) => Promise<RunningService>;
}): Promise<void> {
  const { logger, shutdownTimeoutMs, start } = options;
  const exitWith = (fields: object, message: string): never => {
    logger.error(fields, message);
    process.exit(1);
  };
  const stopping = new AbortController();
  const started = Promise.withResolvers<RunningService>();

  closeWithGrace(
    {
      delay: shutdownTimeoutMs,
      skip: notOurs,
      logger: false,
      onTimeout: () => exitWith({ shutdownTimeoutMs }, 'the drain took too long; what is in flight is left'),
      onSecondSignal: (signal) => exitWith({ signal }, 'a second signal; what is in flight is left'),
      onSecondError: (err) => exitWith({ err }, 'an uncaught error during the drain'),
    },
    async ({ signal, err }) => {
      if (err !== undefined) exitWith({ err }, 'an uncaught error; the process ends');
      if (signal === undefined) exitWith({}, 'the service has nothing left to do, which it should not');
      logger.info({ signal }, 'draining');
      stopping.abort();
      try {
        await (await started.promise).stop();
      } catch (error) {
        exitWith({ err: error }, 'the drain failed');
      }
      logger.info({}, 'stopped');
    },
  );

  try {
    started.resolve(await start(stopping.signal));
    logger.info({}, 'started');
  } catch (error) {
    if (!stopping.signal.aborted) exitWith({ err: error }, 'the service could not start');
    logger.info({ err: error }, 'the start was given up');
    started.resolve({ stop: async () => undefined });
  }
}

/**
 * What `read` returns, or the end of the process: one log line that names every problem, and exit status 1.
 * For the first line of a `main.ts`, where no logger exists yet.
 */
export function configOrExit<T>(service: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { code, problems } = error;
    createLogger({ service }).error({ code, problems }, error.message);
    process.exit(1);
  }
}
