/** A record for the broker. */
export interface OutboundRecord {
  /** Id of the event, for messages to people. */
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  /** JSON text, or bytes. */
  readonly value: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** What became of one record. `not acknowledged` says nothing about whether the broker has it. */
export type PublishResult =
  | { readonly acknowledged: true }
  | {
      readonly acknowledged: false;
      readonly error: Error;
      /** Set when no repetition of this record can succeed: it is too large, or cannot be serialised. */
      readonly permanent?: true;
    };

/**
 * The port to the broker.
 *
 * What the relay guarantees: records of one key are given in order; a key's later records are not given before its
 * earlier ones are acknowledged, in the same call or in an earlier one; a call that failed is repeated, with the same
 * records or more behind them.
 *
 * What an adapter must do:
 * - acknowledge a record only when every in-sync replica has it (acks=all);
 * - append records of one key to one partition, in the order given, and not acknowledge a record when an earlier one
 *   of its key in the same call is not;
 * - say `permanent` only of the one record that is at fault, splitting what the broker refused together to find it;
 *   its key's later records of the same call are not sent, and not permanent; other keys' records are not touched;
 * - let no topic's failure touch another topic's records;
 * - create no topic;
 * - answer in a bounded time, and recover by itself when the broker comes back: the relay only calls again.
 */
export interface Publisher {
  /** A head start, which fails if the broker cannot be reached; `publish` connects by itself. */
  connect(): Promise<void>;
  /** One result per record, at its index. A rejection counts as: nothing acknowledged. */
  publish(records: readonly OutboundRecord[]): Promise<readonly PublishResult[]>;
  /** Waits for nothing; what is under way is not acknowledged. `publish` then acknowledges nothing until `connect`. */
  disconnect(): Promise<void>;
}
