import type pg from 'pg';
import type { PoolLike } from '../src/index.ts';

/** A node of a plan as PostgreSQL reports it; the part that is used. */
export interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

/**
 * The plans of all that `run` has done by the pool that it is given, those inside functions too, as they were carried
 * out: by `auto_explain`, on a connection of its own, so that no plan is left over from before.
 */
export async function plansOf(pool: pg.Pool, run: (pool: PoolLike) => Promise<unknown>): Promise<PlanNode[]> {
  const client = await pool.connect();
  const plans: PlanNode[] = [];
  client.on('notice', ({ message = '' }) => {
    if (message.includes('plan:')) plans.push(JSON.parse(message.slice(message.indexOf('{'))).Plan);
  });
  try {
    await client.query(`LOAD 'auto_explain'`);
    for (const setting of ['log_nested_statements', 'log_analyze']) {
      await client.query(`SET auto_explain.${setting} = on`);
    }
    await client.query(
      `SET auto_explain.log_format = json; SET client_min_messages = log; SET auto_explain.log_min_duration = 0`,
    );
    const query: PoolLike['query'] = (text, values) => client.query(text, values);
    await run({ query, connect: () => Promise.reject(new Error('one connection only')) });
    return plans;
  } finally {
    client.release(true);
  }
}

/** A plan's nodes, itself first. */
export const nodesOf = (plan: PlanNode): PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

/** What in a plan costs more than reading `rowsMax` rows of a bucket by an index does; empty if nothing. */
export function excessesOf(plans: readonly PlanNode[], rowsMax: number): string[] {
  return plans.flatMap(nodesOf).flatMap((node) => {
    const name = `${node['Node Type']} ${node['Relation Name'] ?? ''}`.trim();
    const rows = node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0);
    const isOfOutbox = /^outbox_(p\d|default)/.test(node['Relation Name'] ?? '');
    return [
      ...(isOfOutbox && node['Index Name'] === undefined && node['Node Type'].includes('Scan')
        ? [`${name}: not by an index`]
        : []),
      ...((isOfOutbox || node['Node Type'].includes('Sort')) && rows > rowsMax
        ? [`${name}: ${rows} rows`]
        : []),
    ];
  });
}
