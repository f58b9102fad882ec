import type { ConsumedRecord, RecordSource } from '@orders/idempotent-consumer';
import type pg from 'pg';
import { clockMs } from './clock.ts';

/** Takes the time from a chunk's arrival to the inbox's answer, from outside the consumer. */
export interface InboxWatch {
  source(
    inner: RecordSource,
    o: { isCounted(record: ConsumedRecord): boolean; onAccepted(records: number): void },
  ): RecordSource;
  /** Connections that know the inbox's statement when they see it. */
  pool(inner: pg.Pool): { connect(): Promise<pg.PoolClient> };
  /** Milliseconds, one for each counted event. */
  took(): number[];
}

export function createInboxWatch(): InboxWatch {
  const times: number[] = [];
  /** Chunks in hand, by the id of their first event. */
  const arrived = new Map<string, { atMs: number; counted: number }>();

  function answered(statement: unknown, values: unknown): void {
    if (typeof statement !== 'string' || !statement.includes('INTO processed_events')) return;
    const [, ids] = values as [unknown, string[]];
    const chunk = arrived.get(ids[0] ?? '');
    if (chunk === undefined) return; // a stored event that is tried again
    const tookMs = clockMs() - chunk.atMs;
    arrived.delete(ids[0] ?? '');
    for (let i = 0; i < chunk.counted; i += 1) times.push(tookMs);
  }

  function listening(client: pg.PoolClient): pg.PoolClient {
    return new Proxy(client, {
      get(target, name) {
        if (name !== 'query') {
          const found = Reflect.get(target, name, target);
          return typeof found === 'function' ? found.bind(target) : found;
        }
        return async (text: string, values?: unknown[]) => {
          const result = await target.query(text, values);
          answered(text, values);
          return result;
        };
      },
    });
  }

  return {
    source: (inner, { isCounted, onAccepted }) => ({
      ...inner,
      start: (sink) =>
        inner.start({
          ...sink,
          async onChunk(chunk) {
            const [first] = chunk.records;
            const counted = chunk.records.filter(isCounted).length;
            arrived.set(String(first.headers.ce_id), { atMs: clockMs(), counted });
            const outcome = await sink.onChunk(chunk);
            if (outcome === 'accepted') onAccepted(chunk.records.length);
            return outcome;
          },
        }),
    }),
    pool: (inner) => ({ connect: async () => listening(await inner.connect()) }),
    took: () => times,
  };
}
