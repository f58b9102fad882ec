import { describe, expect, it } from 'vitest';
import { claimHeads } from '../src/retries/scheduled-events.ts';
import { query } from './flavours.ts';
import { uniqueName, useDatabase } from './harness.ts';

const db = useDatabase();
const claiming = { countMax: 10, suspectsMax: 1, leaseMs: 60_000, onDeadLetter: 'block-key' } as const;

/** Rows as accepting would store them: `events` per key, all due. */
const store = (consumerName: string, keys: number, events: number) =>
  db().pool.query(
    `INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", headers, state, attempts, next_at)
     SELECT $1, 'e' || k || '-' || n, 'key:k' || k, 't', 0, n, convert_to('[]', 'UTF8'), 'DUE', 0, now()
     FROM generate_series(1, $3::int) AS n, generate_series(1, $2::int) AS k ORDER BY n, k`,
    [consumerName, keys, events],
  );

describe('claiming heads', () => {
  /** Rows that the scans of `scheduled_events` have read, and the time in ms. */
  async function explainedClaim(consumerName: string) {
    const { rows } = await db().transaction(async (tx) => {
      const statements: string[] = [];
      const spy = {
        query: async (text: string, values: unknown[]) => {
          statements.push(text);
          return { rows: await query(tx, text, values) };
        },
      };
      await claimHeads(spy as never, consumerName, claiming).then(() => undefined);
      const explained = await query(tx, `EXPLAIN (ANALYZE, FORMAT JSON) ${statements[0]}`, [
        consumerName,
        10,
        60_000,
        1,
      ]);
      return { rows: explained };
    });
    const [plan] = (rows[0] as Record<string, unknown>)['QUERY PLAN'] as [
      { Plan: PlanNode; 'Execution Time': number },
    ];
    const scans = nodesOf(plan.Plan).filter(
      (node) => node['Relation Name'] === 'scheduled_events' && node['Node Type'].includes('Scan'),
    );
    const read = scans.reduce(
      (sum, node) =>
        sum + (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
      0,
    );
    return {
      kinds: new Set(scans.map((node) => `${node['Node Type']} ${node['Index Name'] ?? ''}`)),
      read,
      ms: plan['Execution Time'],
    };
  }
  interface PlanNode {
    'Node Type': string;
    'Relation Name'?: string;
    'Index Name'?: string;
    'Actual Rows': number;
    'Actual Loops': number;
    'Rows Removed by Filter'?: number;
    Plans?: PlanNode[];
  }
  const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

  it.each([
    [1, 5_000],
    [2_000, 1],
    [2_000, 20],
  ])('reads rows by the index, and as many as there are keys: %d keys of %d events', async (keys, events) => {
    const name = uniqueName('plan');
    await store(name, keys, events);
    await store(uniqueName('neighbour'), 1_000, 10);
    for (const statistics of ['old', 'new']) {
      if (statistics === 'new') await db().pool.query('ANALYZE scheduled_events');
      const { kinds, read, ms } = await explainedClaim(name);
      console.log(
        `claimHeads: ${keys} keys of ${events} events, ${statistics} statistics: ${read} rows read, ${ms.toFixed(1)} ms`,
      );
      expect([...kinds].filter((kind) => kind.startsWith('Seq Scan'))).toEqual([]);
      expect([...kinds].some((kind) => kind.includes('scheduled_events_unfinished'))).toBe(true);
      expect(read).toBeLessThanOrEqual(keys + 50);
    }
  });
});
