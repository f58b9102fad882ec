/** A time during which this member had the same partitions: one generation of the group. */
export interface Member {
  /** Aborted when the group rebalances, or this member is no longer in it. */
  readonly signal: AbortSignal;
}

/** Keeps track of whether, and since when, this consumer is a member. */
export interface Membership {
  /** The generation that fetches and commits belong to now; undefined before the first and between two. */
  current(): Member | undefined;
  /** Whether a request to join is on its way. */
  isJoining(): boolean;
  /** How many generations there were. */
  joins(): number;
  /** A request to join is about to be sent: what is in hand may be finished and committed. */
  revoke(): void;
  /** It is being sent: what was fetched before counts no longer. */
  leave(): void;
  /** It has been answered, and partitions were assigned. */
  join(): void;
  /** There will be no further one. */
  end(reason: unknown): void;
}

/** See {@link Membership}. */
export function createMembership(): Membership {
  let current: { member: Member; abort: AbortController } | undefined;
  let joins = 0;
  let joining = false;
  const over = (reason: unknown) => {
    current?.abort.abort(reason);
    current = undefined;
  };
  return {
    current: () => current?.member,
    isJoining: () => joining,
    joins: () => joins,
    revoke: () => {
      joining = true;
      current?.abort.abort(new Error('the group is rebalancing'));
    },
    leave: () => over(new Error('the group has rebalanced')),
    join: () => {
      over(new Error('the group has rebalanced'));
      joining = false;
      joins++;
      const abort = new AbortController();
      current = { abort, member: { signal: abort.signal } };
    },
    end: (reason) => {
      joining = false;
      over(reason);
    },
  };
}
