export { type Consumer, createConsumer } from './consumer.ts';
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
  addDeadLetter,
  type DeadLetter,
  type DeadLetterSink,
  type StoredDeadLetter,
} from './dead-letters.ts';
export { ConsumerError, type ConsumerErrorCode } from './errors.ts';
export type { BatchContext, EventContext, Handle, HandleBatch, HandlerContext } from './handler.ts';
export type { KillSwitchOptions } from './kill-switch.ts';
export type { Logger } from './logger.ts';
export type { ConsumerDeps, ConsumerOptions } from './options.ts';
export { insertProcessed, type ProcessOnceResult, processOnce } from './processed-events.ts';
export type { ConsumedRecord, Decode, Decoded, HeaderValue, RecordHeaders } from './record.ts';
export { deleteExpired, type RetentionDeps, type RetentionOptions, type RetentionPass } from './retention.ts';
export type { Retry, Route, RoutedFailure, RouteError } from './routing.ts';
export type { OnDeadLetter } from './scheduled-events.ts';
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
