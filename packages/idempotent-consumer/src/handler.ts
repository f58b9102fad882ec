import type { ConsumedRecord } from './record.ts';
import type { ConsumerTransaction } from './transaction.ts';

/** What every handler is told besides its events. */
export interface HandlerContext {
  readonly consumerName: string;
  /**
   * Aborted when the handler has run for `handleTimeoutMs`. Its transaction is ended then, whatever it does; a handler
   * that waits for something else than the database should give up waiting.
   */
  readonly signal: AbortSignal;
  /**
   * Calls `callback` once, after the transaction that the handler works in is committed; never after a rollback. What
   * it throws is logged. A process that dies in between has not called it: nothing that must happen belongs there.
   */
  afterCommit(callback: () => void | Promise<void>): void;
}

/** The context of a handler of single events. */
export interface EventContext extends HandlerContext {
  readonly record: ConsumedRecord;
  /** The event's key in the inbox. */
  readonly eventId: string;
  /** 1 at the first try, one more after each failure that was stored. */
  readonly attempt: number;
}

/** The context of a handler of batches; the lists belong to the events, one by one. */
export interface BatchContext extends HandlerContext {
  readonly records: readonly ConsumedRecord[];
  readonly eventIds: readonly string[];
  /** 1 for new events; an event that is tried again comes alone. */
  readonly attempt: number;
}

/** Handles one new event, all in `tx`. */
export type Handle<E, Tx extends ConsumerTransaction> = (
  tx: Tx,
  event: E,
  context: EventContext,
) => Promise<void> | void;

/** Handles new events in the order of their partition, at least one and none twice, all in `tx`. */
export type HandleBatch<E, Tx extends ConsumerTransaction> = (
  tx: Tx,
  events: E[],
  context: BatchContext,
) => Promise<void> | void;

/** An event on its way to the handler. */
export interface Delivery<E> {
  readonly record: ConsumedRecord;
  readonly id: string;
  readonly event: E;
  readonly orderingKey: string;
  readonly attempt: number;
}

/** Either kind of handler, as the rest of this package calls it. */
export type HandleAll<E, Tx extends ConsumerTransaction> = (
  tx: Tx,
  deliveries: readonly Delivery<E>[],
  context: HandlerContext,
) => Promise<void>;

export function handleAllBy<E, Tx extends ConsumerTransaction>(handlers: {
  readonly handle?: Handle<E, Tx> | undefined;
  readonly handleBatch?: HandleBatch<E, Tx> | undefined;
}): HandleAll<E, Tx> {
  const { handle, handleBatch } = handlers;
  return async (tx, deliveries, context) => {
    if (handleBatch !== undefined) {
      const records = deliveries.map(({ record }) => record);
      const eventIds = deliveries.map(({ id }) => id);
      const events = deliveries.map(({ event }) => event);
      await handleBatch(tx, events, { ...context, records, eventIds, attempt: deliveries[0]?.attempt ?? 1 });
    }
    if (handle === undefined) return;
    for (const { event, record, id, attempt } of deliveries)
      await handle(tx, event, { ...context, record, eventId: id, attempt });
  };
}
