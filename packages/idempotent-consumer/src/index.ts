export { type Consumer, createConsumer } from './consumer.ts';
export {
  type BlockedKey,
  type BoundedCount,
  type ConsumerStatus,
  type ConsumerStatusOptions,
  consumerStatus,
} from './consumer-status.ts';
export {
  type AuditedBy,
  type Control,
  overrideKillSwitch,
  pauseConsumer,
  readControl,
  resumeConsumer,
} from './control.ts';
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
} from './dead-letter-jobs.ts';
export type { DeadLetterSelection, DeadLetterState } from './dead-letter-selection.ts';
export {
  addDeadLetter,
  type DeadLetter,
  type DeadLetterSink,
  type StoredDeadLetter,
} from './dead-letters.ts';
export type { DeadLetterAction, DeadLetterDecision } from './decide-dead-letters.ts';
export { ConsumerError, type ConsumerErrorCode } from './errors.ts';
export type { BatchContext, EventContext, Handle, HandleBatch, HandlerContext } from './handler.ts';
export type { KillSwitchOptions } from './kill-switch.ts';
export { type DeadLetterPage, type ListedDeadLetter, listDeadLetters } from './list-dead-letters.ts';
export type { Logger } from './logger.ts';
export type { ConsumerDeps, ConsumerOptions } from './options.ts';
export { insertProcessed, type ProcessOnceResult, processOnce } from './processed-events.ts';
export type { ConsumedRecord, Decode, Decoded, HeaderValue, RecordHeaders } from './record.ts';
export { discardDeadLetter, replayDeadLetter } from './replay.ts';
export { deleteExpired, type RetentionDeps, type RetentionOptions, type RetentionPass } from './retention.ts';
export type { Retry, Route, RoutedFailure, RouteError } from './routing.ts';
export { type RunJobOptions, runDeadLetterJob } from './run-dead-letter-job.ts';
export type { DeadLetterRefusal } from './schedule-letter.ts';
export type { OnDeadLetter } from './scheduled-events.ts';
export {
  type AuditEntry,
  type ScheduledRow,
  type ShownDeadLetter,
  showDeadLetter,
} from './show-dead-letter.ts';
export type { EventIdentity } from './sort-records.ts';
export type { PartitionPosition, RecordChunk, RecordSink, RecordSource } from './source.ts';
export {
  type ConsumerTransaction,
  type KyselyTransaction,
  type PgPool,
  type PgPoolClient,
  type PgTransaction,
  pgTransaction,
  type RunTransaction,
} from './transaction.ts';
export { isTransient } from './transient.ts';
