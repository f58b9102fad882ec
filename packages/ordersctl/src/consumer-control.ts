import { inTransaction, type Tx } from '@orders/db';
import {
  type AuditedBy,
  type BlockedKey,
  type BoundedCount,
  type ConsumerStatus,
  consumerStatus,
  overrideKillSwitch,
  pauseConsumer,
  resumeConsumer,
} from '@orders/idempotent-consumer';
import { withDatabase } from './database-commands.ts';
import { type DeciderOptions, reasonOf } from './dead-letter-options.ts';
import { OrdersctlError } from './errors.ts';
import { operatorName } from './operator.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

type Named = CommonOptions & { readonly name: string };

/** `ordersctl consumer status` */
export async function showStatus(output: Output, options: Named): Promise<void> {
  const status = await withDatabase(({ db }) =>
    inTransaction(db, (tx) => consumerStatus(tx, { consumerName: options.name })),
  );
  answer(output, options, status, statusLines(status));
}

/** `ordersctl consumer pause` */
export const pause = (output: Output, options: Named & DeciderOptions): Promise<void> =>
  change(output, options, pauseConsumer);

/** `ordersctl consumer resume` */
export const resume = (output: Output, options: Named & DeciderOptions): Promise<void> =>
  change(output, { reason: 'resume', ...options }, resumeConsumer);

/** `ordersctl consumer kill-switch` */
export async function setKillSwitch(
  output: Output,
  options: Named & DeciderOptions & { offFor?: number; on?: boolean },
): Promise<void> {
  const { offFor, on } = options;
  if ((offFor === undefined) === (on !== true))
    throw new OrdersctlError('ORDERSCTL_USAGE', 'say either --off-for or --on');
  await change(output, options, (tx, name, by) =>
    overrideKillSwitch(tx, name, { ...by, forMs: offFor ?? 0 }),
  );
}

/** Changes what all members of a consumer are told, and shows what holds now. */
async function change(
  output: Output,
  options: Named & DeciderOptions,
  how: (tx: Tx, consumerName: string, by: AuditedBy) => Promise<void>,
): Promise<void> {
  const reason = reasonOf(options);
  const status = await withDatabase(async (database) => {
    const actor = await operatorName(options.by, database);
    return inTransaction(database.db, async (tx) => {
      await how(tx, options.name, { actor, reason });
      return consumerStatus(tx, { consumerName: options.name });
    });
  });
  const { paused, killSwitchOffUntil } = status;
  answer(output, options, { name: options.name, paused, killSwitchOffUntil }, controlLines(status));
}

function controlLines({ paused, killSwitchOffUntil: until }: ConsumerStatus): string[] {
  const why = paused?.reason === null ? '' : `: ${paused?.reason}`;
  return [
    paused === null ? 'not paused' : `paused since ${paused.since.toISOString()} by ${paused.actor}${why}`,
    `kill switch: ${until === null ? 'on' : `off until ${until.toISOString()}`}`,
  ];
}

function statusLines(status: ConsumerStatus): string[] {
  const { scheduled, dead, blockedKeys, oldestScheduledAgeMs: ageMs } = status;
  return [
    ...controlLines(status),
    `scheduled: ${shown(scheduled)}${ageMs === null ? '' : `, oldest ${seconds(ageMs)}`}`,
    `dead letters: ${shown(dead)}`,
    `blocked keys: ${shown(blockedKeys)}`,
    ...blockedKeys.oldest.map(keyLine),
  ];
}

const shown = ({ count, isComplete }: BoundedCount): string => `${isComplete ? '' : 'at least '}${count}`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function keyLine({ orderingKey, state, ageMs, attempts, waiting, reason }: BlockedKey): string {
  const why = reason === null ? '' : `: ${reason.replaceAll(/\s*\n\s*/g, ' ')}`;
  return `  ${orderingKey} ${state} for ${seconds(ageMs)}, ${attempts} attempts, ${waiting} wait behind it${why}`;
}
