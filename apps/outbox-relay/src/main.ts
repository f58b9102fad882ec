import { configOrExit, createLogger, runService } from '@orders/service-runtime';
import { readConfig } from './config.ts';
import { service, startRelayService } from './relay-service.ts';

const config = configOrExit(service, readConfig);
const logger = createLogger({ service, level: config.LOG_LEVEL });
await runService({
  logger,
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS,
  start: (stopping) => startRelayService(config, logger, stopping),
});
