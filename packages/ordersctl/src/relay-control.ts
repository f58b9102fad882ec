import { createDatabase } from '@orders/db';
import {
  adoptRestoredOutbox,
  type OutboxStatus,
  outboxStatus,
  pauseRelays,
  type RelayPause,
  resumeRelays,
} from '@orders/outbox';
import { readDatabaseConfig } from './config.ts';
import { withDatabase } from './database-commands.ts';
import { OrdersctlError } from './errors.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

/** `ordersctl relay status` */
export async function showStatus(output: Output, options: CommonOptions): Promise<void> {
  const status = await withDatabase(({ pool }) => outboxStatus(pool));
  answer(output, options, status, statusLines(status));
}

/** `ordersctl relay pause` */
export async function pause(output: Output, options: CommonOptions & { reason?: string }): Promise<void> {
  const { reason = '' } = options;
  const paused = await withDatabase(({ pool }) => pauseRelays(pool, { reason }));
  answer(output, options, { paused }, [pausedLine(paused)]);
}

/** `ordersctl relay resume` */
export async function resume(output: Output, options: CommonOptions): Promise<void> {
  const ended = await withDatabase(({ pool }) => resumeRelays(pool));
  answer(output, options, { paused: null, ended }, [ended === null ? 'not paused' : 'resumed']);
}

/** `ordersctl relay adopt-restored` */
export async function adoptRestored(
  output: Output,
  options: CommonOptions & { yes?: boolean },
): Promise<void> {
  const { isRestored } = await withDatabase(({ pool }) => outboxStatus(pool));
  if (!isRestored) {
    const line = 'nothing to adopt: this outbox was not restored from another server';
    return answer(output, options, { adopted: false }, [line]);
  }
  if (options.yes !== true) throw new OrdersctlError('ORDERSCTL_USAGE', adoptWarning);
  const unpublished = await adopt();
  answer(output, options, { adopted: true, unpublished }, [
    `adopted; ${unpublished} unpublished events go out as soon as a relay runs`,
  ]);
}

/** It reads the whole table, which takes as long as it takes. */
async function adopt(): Promise<number> {
  const url = readDatabaseConfig().DATABASE_URL;
  const patient = createDatabase({ url, poolMax: 1, statementTimeoutMs: 0, applicationName: 'ordersctl' });
  try {
    return await adoptRestoredOutbox(patient.pool);
  } finally {
    await patient.close();
  }
}

const adoptWarning =
  'this outbox was restored from another server, and nothing was changed: if the relays of the other server are ' +
  'stopped, and no service writes here yet, run it again with --yes; what was published after the dump is ' +
  'published again';

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const days = (ms: number): string => `${(ms / 86_400_000).toFixed(1)} days`;

const pausedLine = ({ since, reason }: RelayPause): string =>
  `paused since ${since.toISOString()}${reason === '' ? '' : `: ${reason}`}`;

function statusLines(status: OutboxStatus): string[] {
  const { oldestUnpublishedAgeMs: ageMs, oldestWritingTransactionMs: writingMs, partitions } = status;
  const blocked = status.longestBlocked.map(
    (one) => `  ${one.aggregateType} ${one.orderingKey} ${one.state} since ${one.since.toISOString()}`,
  );
  return [
    ...(status.isRestored ? ['restored from another server: see `ordersctl relay adopt-restored`'] : []),
    status.paused === null ? 'not paused' : pausedLine(status.paused),
    `backlog: ${status.backlogIsComplete ? '' : 'at least '}${status.backlog}${ageMs === null ? '' : `, oldest ${seconds(ageMs)}`}`,
    ...ownerLines(status),
    `blocked aggregates: ${status.blockedAggregates}`,
    ...blocked,
    ...status.setAsideTopics.map(
      ({ topic, buckets, since }) =>
        `set aside: topic ${topic}, in ${buckets} buckets, since ${since.toISOString()}`,
    ),
    ...(writingMs === null ? [] : [`oldest writing transaction: ${seconds(writingMs)}`]),
    `partitions: ${partitions.count}, ${days(partitions.aheadMs ?? 0)} ahead${partitions.defaultIsUsed ? ', rows in the default partition' : ''}`,
  ];
}

function ownerLines({ buckets }: OutboxStatus): string[] {
  const owners = Map.groupBy(buckets, ({ owner }) => owner);
  return [...owners].map(([owner, owned]) =>
    owner === null ? `without a relay: ${owned.length} buckets` : `relay ${owner}: ${owned.length} buckets`,
  );
}
