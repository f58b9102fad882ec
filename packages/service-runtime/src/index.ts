export {
  databaseConfig,
  kafkaConfig,
  type LogLevel,
  loadConfig,
  logLevels,
  serviceConfig,
} from './config.ts';
export { crashPoint, replaceCrashPoint } from './crash-point.ts';
export { ConfigError, RuntimeError, type RuntimeErrorCode } from './errors.ts';
export { createKafka } from './kafka.ts';
export { kafkaAdvice, kafkaLogger, messagesOf, principalOf } from './kafka-log.ts';
export { type KafkaSecurity, kafkaProblems, kafkaSecurity } from './kafka-security.ts';
export { createLogger, type Logger } from './logger.ts';
export { type Metrics, type Probes, startProbes } from './probes.ts';
export { configOrExit, type RunningService, runService } from './service.ts';
