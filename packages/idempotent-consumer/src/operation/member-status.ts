import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerCounts } from '../counts.ts';
import { asError } from '../reason.ts';
import type { ConsumedRecord } from '../record.ts';
import type { OnDeadLetter } from '../retries/scheduled-events.ts';
import type { PartitionPosition, RecordSource } from '../source.ts';
import type { ConsumerTransaction, RunTransaction } from '../transaction.ts';
import { type ConsumerStatus, consumerStatus } from './consumer-status.ts';
import type { Progress } from './progress.ts';

/** How far a partition of this member is behind. */
export interface PartitionLag extends PartitionPosition {
  /** Records between what is committed and the end. Without a commit all count that there ever were. */
  readonly lagRecords: number;
}

/** A consumer as one of its members sees it. */
export interface MemberStatus {
  readonly consumerName: string;
  readonly groupId: string;
  readonly isHealthy: boolean;
  /** Sum over the partitions that this member has; null while it is not in its group or the broker does not answer. */
  readonly lagRecords: number | null;
  /**
   * How far behind in time, by the timestamps of the records and this machine's clock: the age of the oldest record
   * in hand that is not accepted. Where there are records behind but none in hand, the time since the last accepted
   * one of that partition was written: the next one was written later, so it is at most that. 0 without lag; null
   * while it is not known, which it is not before the first chunk of a partition.
   */
  readonly lagMs: number | null;
  /** The partitions that this member has. */
  readonly partitions: readonly PartitionLag[];
  /** The oldest record in hand, and its age; null when nothing is in hand. What is stored counts as accepted. */
  readonly oldestNotAccepted:
    | (Pick<ConsumedRecord, 'topic' | 'partition' | 'offset' | 'timestampMs'> & {
        readonly ageMs: number | null;
      })
    | null;
  /** Whether this member has been told to pause; who said so and why is in `stored`. */
  readonly isPaused: boolean;
  /** Since when the kill switch of this member is open, and the error that opened it; null while it is closed. */
  readonly killSwitch: { readonly since: Date; readonly error: Error } | null;
  /** Why it stands still until it is started anew (`routeError` answered "stop"), or null. */
  readonly stoppedBy: Error | null;
  readonly counts: Readonly<ConsumerCounts>;
  /** What the database holds, of all members; null while it does not answer. */
  readonly stored: ConsumerStatus | null;
  /** Why something above is null. */
  readonly problems: readonly { readonly of: 'broker' | 'database'; readonly error: Error }[];
}

/** What only the member itself knows. */
export type OwnStatus = Pick<MemberStatus, 'isHealthy' | 'isPaused' | 'killSwitch' | 'stoppedBy' | 'counts'>;

interface MemberStatusDeps<Tx extends ConsumerTransaction> {
  readonly consumerName: string;
  readonly onDeadLetter: OnDeadLetter;
  readonly source: RecordSource;
  readonly transaction: RunTransaction<Tx>;
  readonly progress: Progress;
  readonly own: () => OwnStatus;
}

/** Broker and database are not waited for longer than this. */
const answerMaxMs = 5_000;

/** Asks the broker and the database; says what it knows where one of them does not answer. */
export async function memberStatus<Tx extends ConsumerTransaction>(
  deps: MemberStatusDeps<Tx>,
): Promise<MemberStatus> {
  const { consumerName, onDeadLetter, source, transaction, progress } = deps;
  const problems: { of: 'broker' | 'database'; error: Error }[] = [];
  const orNull = async <T>(of: 'broker' | 'database', ask: (signal: AbortSignal) => Promise<T>) => {
    try {
      return await inTime(ask);
    } catch (thrown) {
      problems.push({ of, error: asError(thrown) });
      return null;
    }
  };
  const [positions, stored] = await Promise.all([
    orNull('broker', () => positionsOf(source)),
    orNull('database', (signal) =>
      transaction((tx) => consumerStatus(tx, { consumerName, onDeadLetter }), { signal }),
    ),
  ]);
  const partitions = (positions ?? []).map((one) => ({ ...one, lagRecords: behind(one) }));
  return {
    consumerName,
    groupId: source.groupId,
    ...deps.own(),
    lagRecords: positions && partitions.reduce((sum, { lagRecords }) => sum + lagRecords, 0),
    lagMs: lagMsOf(progress, positions && partitions),
    partitions,
    oldestNotAccepted: oldestOf(progress),
    stored,
    problems,
  };
}

/** A source that is out of its group has no partitions either, but that says nothing about how far it is. */
async function positionsOf(source: RecordSource): Promise<readonly PartitionPosition[]> {
  const positions = await source.positions();
  if (positions.length === 0 && !source.isHealthy()) throw new Error('the source is not in its group');
  return positions;
}

async function inTime<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  const asked = ask(late.signal);
  asked.catch(() => undefined); // nobody waits for it any more when it is late
  const timeout = sleep(answerMaxMs, undefined, { signal: done.signal, ref: false }).then(() => {
    const error = new Error(`no answer within ${answerMaxMs} ms`);
    late.abort(error);
    throw error;
  });
  timeout.catch(() => undefined);
  try {
    return await Promise.race([asked, timeout]);
  } finally {
    done.abort();
  }
}

const behind = ({ committed, end }: PartitionPosition): number =>
  Math.max(0, Number(BigInt(end) - BigInt(committed ?? 0)));

const ageMsOf = (timestampMs: number | null): number | null =>
  timestampMs === null ? null : Math.max(0, Date.now() - timestampMs);

function oldestOf(progress: Progress): MemberStatus['oldestNotAccepted'] {
  const records = progress.inHand().map(({ record }) => record);
  const [oldest] = records.toSorted((a, b) => (a.timestampMs ?? Infinity) - (b.timestampMs ?? Infinity));
  if (oldest === undefined) return null;
  const { topic, partition, offset, timestampMs } = oldest;
  return { topic, partition, offset, timestampMs, ageMs: ageMsOf(timestampMs) };
}

function lagMsOf(progress: Progress, partitions: readonly PartitionLag[] | null): number | null {
  const records = progress.inHand().map(({ record }) => record);
  const isInHand = ({ topic, partition }: PartitionLag) =>
    records.some((record) => record.topic === topic && record.partition === partition);
  const inHand = records.map(({ timestampMs }) => timestampMs);
  const waiting = (partitions ?? [])
    .filter((one) => one.lagRecords > 0 && !isInHand(one))
    .map(({ topic, partition }) => progress.acceptedUpToMs(topic, partition));
  const since = [...inHand, ...waiting];
  const known = since.filter((one) => one !== null);
  if (known.length > 0) return ageMsOf(Math.min(...known));
  return since.length > 0 || partitions === null ? null : 0;
}
