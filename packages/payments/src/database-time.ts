import { type RawBuilder, sql } from 'kysely';

/** So many milliseconds from now, by the database's clock: the only one that all workers share. */
export const afterMs = (ms: number): RawBuilder<Date> =>
  sql<Date>`clock_timestamp() + ${ms}::double precision * interval '1 millisecond'`;

/** Now, by the database's clock. */
export const databaseNow = sql<Date>`clock_timestamp()`;

/** Milliseconds from now until the moment, negative when it has passed. */
export const msUntil = (moment: RawBuilder<Date>): RawBuilder<number> =>
  sql<number>`(extract(epoch FROM ${moment} - clock_timestamp()) * 1000)::double precision`;
