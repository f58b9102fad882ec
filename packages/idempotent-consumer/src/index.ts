export { type Consumer, createConsumer } from './consumer.ts';
export type { ConsumerCounts } from './counts.ts';
export {
  cancelDeadLetterJob,
  type DeadLetterJob,
  type DeadLetterPreview,
  discardDeadLetters,
  type JobOptions,
  type JobSelection,
  listDeadLetterJobs,
  previewDeadLetters,
  replayDeadLetters,
  showDeadLetterJob,
} from './dead-letters/dead-letter-jobs.ts';
export type { DeadLetterSelection, DeadLetterState } from './dead-letters/dead-letter-selection.ts';
export {
  addDeadLetter,
  type DeadLetter,
  type DeadLetterSink,
  type StoredDeadLetter,
} from './dead-letters/dead-letters.ts';
export type { DeadLetterAction, DeadLetterDecision } from './dead-letters/decide-dead-letters.ts';
export {
  type DeadLetterPage,
  type ListedDeadLetter,
  listDeadLetters,
} from './dead-letters/list-dead-letters.ts';
export { discardDeadLetter, replayDeadLetter } from './dead-letters/replay.ts';
export { type RunJobOptions, runDeadLetterJob } from './dead-letters/run-dead-letter-job.ts';
export type { DeadLetterRefusal } from './dead-letters/schedule-letter.ts';
export {
  type AuditEntry,
  type ScheduledRow,
  type ShownDeadLetter,
  showDeadLetter,
} from './dead-letters/show-dead-letter.ts';
export { ConsumerError, type ConsumerErrorCode } from './errors.ts';
export type { BatchContext, EventContext, Handle, HandleBatch, HandlerContext } from './handler.ts';
export type { EventIdentity } from './intake/sort-records.ts';
export type { Logger } from './logger.ts';
export type { ConsumerMetrics, Counter, Gauge, Histogram } from './metrics.ts';
export {
  type BlockedKey,
  type BoundedCount,
  type ConsumerStatus,
  type ConsumerStatusOptions,
  consumerStatus,
} from './operation/consumer-status.ts';
export {
  type AuditedBy,
  type Control,
  overrideKillSwitch,
  pauseConsumer,
  readControl,
  resumeConsumer,
} from './operation/control.ts';
export type { KillSwitchOptions } from './operation/kill-switch.ts';
export type { MemberStatus, PartitionLag } from './operation/member-status.ts';
export {
  deleteExpired,
  type RetentionDeps,
  type RetentionOptions,
  type RetentionPass,
} from './operation/retention.ts';
export type { ConsumerDeps, ConsumerOptions } from './options.ts';
export { insertProcessed, type ProcessOnceResult, processOnce } from './processed-events.ts';
export type { ConsumedRecord, Decode, Decoded, HeaderValue, RecordHeaders } from './record.ts';
export type { Retry, Route, RoutedFailure, RouteError } from './retries/routing.ts';
export type { OnDeadLetter } from './retries/scheduled-events.ts';
export type { PartitionPosition, RecordChunk, RecordSink, RecordSource } from './source.ts';
export {
  type ConsumerTransaction,
  type KyselyDatabase,
  type KyselyTransaction,
  kyselyTransaction,
  type PgPool,
  type PgPoolClient,
  type PgTransaction,
  pgTransaction,
  type RunTransaction,
} from './transaction.ts';
export { isTransient } from './transient.ts';
