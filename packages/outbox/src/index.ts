export { bucketCount, bucketOf } from './bucket.ts';
export {
  type DeadLetterOptions,
  type DeadLetterTarget,
  listDeadLetters,
  type OutboxDeadLetter,
  redrive,
  skip,
} from './dead-letters.ts';
export { OutboxError, type OutboxErrorCode } from './errors.ts';
export type { OutboxEvent, TraceContext } from './event.ts';
export { lockKey } from './lock-key.ts';
export type { Logger } from './logger.ts';
export type { Counter, Gauge, Histogram, RelayMetrics } from './metrics.ts';
export { createOutbox, type Outbox, type OutboxOptions } from './outbox.ts';
export { pauseRelays, type RelayPause, resumeRelays } from './pause.ts';
export type { PoolClientLike, PoolLike, QueryAnswer } from './postgres.ts';
export type { OutboundRecord, Publisher, PublishResult } from './publisher.ts';
export type { RelayCounts } from './relay/counts.ts';
export type { RelayOptions } from './relay/options.ts';
export type { ParkedTopic } from './relay/parked-topics.ts';
export { createRelay, type Relay, type RelayDeps, type RelayStatus } from './relay.ts';
export { adoptRestoredOutbox } from './restored.ts';
export {
  type BlockedAggregate,
  type BucketStatus,
  type OutboxStatus,
  type OutboxStatusOptions,
  outboxStatus,
  type PartitionStatus,
  type SetAsideTopic,
} from './status.ts';
export type { KyselyTransaction, OutboxTransaction, PgTransaction, RawQuery } from './transaction.ts';
