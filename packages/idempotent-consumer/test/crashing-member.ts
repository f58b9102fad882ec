// A member that gets its records from a file and keeps its offset in another: node crashing-member.ts '{"records": …}'
import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { type ConsumerOptions, createConsumer, type RecordSink, type RecordSource } from '../src/index.ts';
import { type CountEvent, countUp, decodeCount, type Tx } from './counting.ts';

export interface CrashingMemberOptions {
  readonly databaseUrl: string;
  readonly consumerName: string;
  /** Ids of events per partition, each counting its own id up; the key of each is what stands before its "-". */
  readonly partitions: readonly (readonly string[])[];
  /** The offset of each partition; written when it is committed. */
  readonly offsetsFile: string;
  readonly options: Partial<ConsumerOptions<CountEvent, Tx>>;
  /** Dies there, the first time or the n-th. */
  readonly killAt?: { readonly point: string; readonly nth: number };
  /** Events whose handler ends the process, and such as fail at their first try only. */
  readonly killers?: readonly string[];
  readonly failingOnce?: readonly string[];
  /** Handling takes that long. */
  readonly handleMs?: number;
  /** Records of a chunk; all that are left where it is not said. */
  readonly chunkSize?: number;
  /** Says so when a handler begins. */
  readonly isTalkative?: boolean;
}

const member: CrashingMemberOptions = JSON.parse(process.argv[2] as string);
const pool = new pg.Pool({ connectionString: member.databaseUrl, max: 6 });
// biome-ignore lint/suspicious/noExplicitAny: the tests write SQL, not Kysely queries
const db = new Kysely<any>({ dialect: new PostgresDialect({ pool }) });

function die(why: string): never {
  writeSync(1, `${why}\n`);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}

const offsets: Record<string, number> = existsSync(member.offsetsFile)
  ? JSON.parse(readFileSync(member.offsetsFile, 'utf8'))
  : {};

/** Delivers what is behind the committed offset of each partition, in chunks. */
function fileSource(): RecordSource & { readonly delivered: Promise<unknown> } {
  const stopping = new AbortController();
  let end: (delivered: unknown) => void = () => {};
  const delivered = new Promise((resolve) => {
    end = resolve;
  });
  const deliver = async (sink: RecordSink, ids: readonly string[], partition: number) => {
    const records = ids.map((id, offset) => ({
      topic: 'file',
      partition,
      offset: String(offset),
      key: Buffer.from(id.split('-')[0] as string),
      value: Buffer.from(id),
      headers: { type: Buffer.from('count'), id: Buffer.from(id) },
      timestampMs: 0,
    }));
    const size = member.chunkSize ?? ids.length;
    for (let begin = offsets[partition] ?? 0; begin < ids.length && !stopping.signal.aborted; begin += size) {
      const [first, ...rest] = records.slice(begin, begin + size);
      if (first === undefined) return;
      const commitOffsets = async (upTo = String(begin + rest.length)) => {
        offsets[partition] = Number(upTo) + 1;
        writeFileSync(member.offsetsFile, JSON.stringify(offsets));
        return true;
      };
      await sink.onChunk({ records: [first, ...rest], signal: stopping.signal, commitOffsets });
    }
  };
  return {
    groupId: 'file',
    topics: ['file'],
    delivered,
    start: (sink) =>
      end(Promise.all(member.partitions.map((ids, partition) => deliver(sink, ids, partition)))),
    stop: async () => {
      stopping.abort();
      await delivered;
    },
    isHealthy: () => true,
    positions: async () => [],
  };
}

let reached = 0;
const source = fileSource();
const consumer = createConsumer<CountEvent, Tx>(
  {
    source,
    transaction: (work) => db.transaction().execute(work),
    crashPoint: (point) => {
      if (point === member.killAt?.point && ++reached === member.killAt.nth) die(point);
    },
  },
  {
    decode: decodeCount,
    handle: async (tx, event, { attempt }) => {
      if (member.isTalkative === true) writeSync(1, 'handling\n');
      await countUp(tx, event);
      if (member.killers?.includes(event.id)) die(event.id);
      if (member.handleMs !== undefined) await new Promise((resolve) => setTimeout(resolve, member.handleMs));
      if (member.failingOnce?.includes(event.id) && attempt === 1) throw new Error('the first time');
    },
    handleTimeoutMs: 5_000,
    pollIntervalMs: 20,
    ...member.options,
    consumerName: member.consumerName,
  },
);
process.on('SIGTERM', () => {
  void consumer.stop().then(() => process.exit(0));
});
await consumer.start();
await source.delivered;
const due = async () =>
  (
    await sql<{
      n: number;
    }>`SELECT count(*)::int AS n FROM scheduled_events s WHERE worker_id = ${member.consumerName} AND state = 'DUE'
    AND NOT EXISTS (SELECT FROM scheduled_events d WHERE d.worker_id = s.worker_id AND d.ordering_key = s.ordering_key AND d.state = 'DEAD')`.execute(
      db,
    )
  ).rows[0]?.n;
while ((await due()) !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
await consumer.stop();
await db.destroy();
writeSync(1, 'done\n');
