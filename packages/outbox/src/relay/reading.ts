import type { Lanes } from './lanes.ts';
import { createLooks } from './looks.ts';
import type { Marks } from './marks.ts';
import type { RelaySettings } from './options.ts';
import type { Found, OutboxRows } from './outbox-rows.ts';
import { createTurns } from './turns.ts';

/**
 * Rows that are read at once, and about how many are published by one call: enough that round trips are short against
 * what the rows cost, and few enough that the database reads, this thread encodes, and the database marks at the same
 * time, each another part of a backlog.
 */
export const readSizeMax = 1_000;

/** Reads what is asked for, as far as it is not in flight, and remembers what is left to be asked for. */
export function createReading(
  { lanes, rows, marks }: { lanes: Lanes; rows: Pick<OutboxRows, 'read'>; marks: Pick<Marks, 'hurry'> },
  settings: RelaySettings,
) {
  const looks = createLooks();
  const turns = createTurns(settings, readSizeMax);

  /** @param free rows that there is room for */
  async function read(readable: readonly number[], free: number): Promise<Found> {
    const wanted = looks.take(readable);
    const flying = wanted.filter(lanes.isFlying);
    looks.ask(flying);
    if (flying.length > 0) marks.hurry();
    const requests = turns.inTurn(lanes.plan(wanted));
    if (requests.length === 0) return { rows: [], answered: [] };
    const limitEach = turns.limitEach(readable);
    const readRows = () => rows.read(requests, limitEach, Math.min(readSizeMax, free));
    const found = await lanes.watch(requests, readRows);
    looks.ask(turns.taken(requests, found, limitEach));
    return found;
  }

  /** Whether something could be read now. */
  const isWanted = (): boolean => looks.isAny((bucket) => !lanes.isFlying(bucket));

  return { ask: looks.ask, read, isWanted };
}
