import { answerOf, ask, run } from '../ask.ts';
import type { ConsumerTransaction } from '../transaction.ts';

/** What operators have said to all members of a consumer. */
export interface Control {
  readonly paused: boolean;
  /** Until then the kill switch does not trip; milliseconds since 1970, 0 if never. */
  readonly killSwitchOffUntilMs: number;
}

/** Who does something, and why; kept in `consumer_audit`. */
export interface AuditedBy {
  readonly actor: string;
  readonly reason: string;
}

export async function readControl(tx: ConsumerTransaction, consumerName: string): Promise<Control> {
  const found = (await ask(
    tx,
    answerOf(`SELECT coalesce((SELECT json_build_object('paused', paused,
         'offForMs', greatest(0, extract(epoch FROM kill_switch_off_until - clock_timestamp()) * 1000))
       FROM consumer_control WHERE worker_id = $1), '{}')`),
    [consumerName],
  )) as { paused?: boolean; offForMs?: number | null };
  return { paused: found.paused === true, killSwitchOffUntilMs: Date.now() + (found.offForMs ?? 0) };
}

/** All members stop handling, soon; they stay in their group, and what they have in hand is finished. Audited. */
export async function pauseConsumer(
  tx: ConsumerTransaction,
  consumerName: string,
  by: AuditedBy,
): Promise<void> {
  await setControl(tx, consumerName, { column: 'paused', value: 'true' });
  await audit(tx, consumerName, 'pause', by);
}

/** Undoes {@link pauseConsumer}. Audited. */
export async function resumeConsumer(
  tx: ConsumerTransaction,
  consumerName: string,
  by: AuditedBy,
): Promise<void> {
  await setControl(tx, consumerName, { column: 'paused', value: 'false' });
  await audit(tx, consumerName, 'resume', by);
}

/**
 * "Go on, and dead-letter": for `forMs` the kill switch does not trip, so that a topic that really is bad does not
 * stand for ever. 0 switches it on again. Audited.
 */
export async function overrideKillSwitch(
  tx: ConsumerTransaction,
  consumerName: string,
  by: AuditedBy & { readonly forMs: number },
): Promise<void> {
  const value = `clock_timestamp() + ${Math.max(0, Math.round(by.forMs))} * interval '1 millisecond'`;
  await setControl(tx, consumerName, { column: 'kill_switch_off_until', value });
  await audit(tx, consumerName, 'kill-switch-override', by, { forMs: by.forMs });
}

async function setControl(
  tx: ConsumerTransaction,
  consumerName: string,
  { column, value }: { column: 'paused' | 'kill_switch_off_until'; value: string },
): Promise<void> {
  await run(
    tx,
    `INSERT INTO consumer_control (worker_id, ${column}) VALUES ($1, ${value})
     ON CONFLICT (worker_id) DO UPDATE SET ${column} = excluded.${column}, changed_at = clock_timestamp()`,
    [consumerName],
  );
}

/** Notes what was done, by whom and why, in the transaction that does it. */
export async function audit(
  tx: ConsumerTransaction,
  consumerName: string,
  action: string,
  { actor, reason }: AuditedBy,
  detail: object = {},
): Promise<void> {
  await run(
    tx,
    `INSERT INTO consumer_audit (worker_id, actor, action, reason, detail) VALUES ($1, $2, $3, $4, $5::jsonb)`,
    [consumerName, actor, action, reason, JSON.stringify(detail)],
  );
}
