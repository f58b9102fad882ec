/** What a query answers; the part of pg's `QueryResult` that is used. */
export interface QueryAnswer {
  readonly rows: Record<string, unknown>[];
  readonly rowCount: number | null;
}

/** A connection taken from the pool; pg's `PoolClient` fits. */
export interface PoolClientLike {
  query(text: string, values?: unknown[]): Promise<QueryAnswer>;
  release(destroy?: boolean): void;
  on(event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
}

/**
 * A pool of connections; pg's `Pool` fits, whatever type parsers it has. Another one must answer as pg does by default,
 * which is tried at its first use (`OUTBOX_ANSWER_UNEXPECTED`).
 */
export interface PoolLike {
  query(text: string, values?: unknown[]): Promise<QueryAnswer>;
  connect(): Promise<PoolClientLike>;
}

/** The names of this package in the database. */
export interface OutboxNames {
  readonly outbox: string;
  readonly buckets: string;
  readonly relays: string;
  readonly sequence: string;
  readonly blocked: string;
  readonly deadLetters: string;
  readonly partitions: string;
  readonly maintenance: string;
  readonly retired: string;
  readonly resolveDeadLetters: string;
  readonly finishRedrives: string;
  readonly parked: string;
  readonly pause: string;
  readonly add: string;
  readonly read: string;
  readonly mark: string;
  readonly unpark: string;
  readonly advanceLowWater: string;
  readonly backlog: string;
  /** Channel of NOTIFY, not quoted. */
  readonly channel: string;
}

/** Names as they stand in SQL; without a schema the connection's `search_path` decides. */
export function outboxNames(schema?: string): OutboxNames {
  const prefix = schema === undefined ? '' : `${quoteIdentifier(schema)}.`;
  return {
    outbox: `${prefix}outbox`,
    buckets: `${prefix}outbox_buckets`,
    relays: `${prefix}outbox_relays`,
    sequence: `${prefix}outbox_seq`,
    blocked: `${prefix}outbox_blocked`,
    deadLetters: `${prefix}outbox_dead_letters`,
    partitions: `${prefix}outbox_partitions`,
    maintenance: `${prefix}outbox_maintenance`,
    retired: `${prefix}outbox_retired`,
    resolveDeadLetters: `${prefix}outbox_resolve_dead_letters`,
    finishRedrives: `${prefix}outbox_finish_redrives`,
    parked: `${prefix}outbox_parked`,
    pause: `${prefix}outbox_pause`,
    add: `${prefix}outbox_add`,
    read: `${prefix}outbox_read`,
    mark: `${prefix}outbox_mark`,
    unpark: `${prefix}outbox_unpark`,
    advanceLowWater: `${prefix}outbox_advance_low_water`,
    backlog: `${prefix}outbox_backlog`,
    channel: schema === undefined ? 'outbox_wake' : `outbox_wake_${schema}`.slice(0, 63),
  };
}

/** As an SQL identifier. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** What a notification on the channel asks for; `events` may be followed by the numbers of buckets. */
export const wakeFor = { events: 'events', lease: 'lease' } as const;
