export {
  type Consumer,
  type ConsumerCounts,
  type ConsumerDeps,
  type ConsumerOptions,
  createConsumer,
} from './consumer.ts';
export { addDeadLetter, type DeadLetter, type DeadLetterSink } from './dead-letters.ts';
export { ConsumerError, type ConsumerErrorCode } from './errors.ts';
export type { Logger } from './logger.ts';
export { insertProcessed, type ProcessOnceResult, processOnce } from './processed-events.ts';
export type { ConsumedRecord, Decode, Decoded, RecordHeaders } from './record.ts';
export type { ConsumerTransaction, RunTransaction } from './transaction.ts';
export { isTransient } from './transient.ts';
