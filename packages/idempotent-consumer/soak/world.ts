import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopic, type Servers, uniqueName } from '@orders/dev-stack/soak';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import pg from 'pg';
import { consumerSql } from '../src/migrations.ts';
import type { MemberOptions } from './member-process.ts';

/** Who consumes what, on a topic and in a database of its own. */
export interface World {
  readonly kafka: Kafka;
  readonly pool: pg.Pool;
  readonly topic: string;
  readonly groupId: string;
  readonly consumerName: string;
  /** Starts a member of the group; resolves when its process runs. */
  startMember(
    options: Omit<MemberOptions, 'brokers' | 'databaseUrl' | 'topic' | 'groupId' | 'consumerName'>,
  ): Member;
  /** Produces in the background until `stop`, at about this rate; each key's events in order. */
  produce(eventsPerSecond: number): Producing;
  effects(): Promise<number>;
  close(): Promise<void>;
}

export interface Member {
  readonly pid: number;
  /** What it logged as a warning or an error: message → how often. */
  readonly noise: Map<string, number>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it by a signal; resolves when it has ended. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export interface Producing {
  /** @returns how many events were acknowledged */
  stop(): Promise<number>;
}

const partitions = 12;
const keys = 60;

export async function createWorld({ postgresUrl, kafkaBrokers: brokers }: Servers): Promise<World> {
  const database = uniqueName('consumer_soak').replaceAll('-', '_');
  await onServer(postgresUrl, `CREATE DATABASE ${database}`);
  const url = new URL(postgresUrl);
  url.pathname = `/${database}`;
  const databaseUrl = url.href;
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  pool.on('error', () => undefined); // some cases restart the server
  await pool.query(consumerSql());
  await pool.query(
    `CREATE TABLE effects (seq bigint GENERATED ALWAYS AS IDENTITY, key text, n int, partition int, member int,
       at timestamptz DEFAULT clock_timestamp())`,
  );
  const topic = uniqueName('soak');
  const [groupId, consumerName] = [uniqueName('group'), uniqueName('soak')];
  const kafka = new Kafka({
    clientId: 'soak-world',
    brokers,
    logLevel: logLevel.NOTHING,
    retry: { retries: 20 },
  });
  await createTopic(kafka, topic, partitions);
  const members = new Set<Member>();

  return {
    kafka,
    pool,
    topic,
    groupId,
    consumerName,
    startMember(options) {
      const member = spawnMember({ ...options, brokers, databaseUrl, topic, groupId, consumerName });
      members.add(member);
      return member;
    },
    produce: (eventsPerSecond) => startProducing(kafka, topic, eventsPerSecond),
    effects: async () => (await pool.query('SELECT count(*)::int AS n FROM effects')).rows[0].n,
    async close() {
      await Promise.all([...members].map((member) => member.end('SIGKILL')));
      await pool.end();
      await onServer(postgresUrl, `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
    },
  };
}

function spawnMember(options: MemberOptions): Member {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=TimeoutNegativeWarning',
      join(import.meta.dirname, 'member-process.ts'),
      JSON.stringify(options),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  ) as ChildProcess & { pid: number };
  const noise = new Map<string, number>();
  const note = (message: string) => noise.set(message, (noise.get(message) ?? 0) + 1);
  const lines = (stream: NodeJS.ReadableStream | null, messageOf: (line: string) => string) => {
    if (stream !== null) createInterface({ input: stream }).on('line', (line) => note(messageOf(line)));
  };
  lines(child.stdout, (line) => JSON.parse(line).message);
  lines(child.stderr, (line) => `stderr: ${line}`);
  const ended = once(child, 'exit');
  return {
    pid: child.pid,
    noise,
    signal: (signal) => child.kill(signal),
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      if (signal === 'SIGKILL') child.kill('SIGCONT');
      await ended;
    },
  };
}

function startProducing(kafka: Kafka, topic: string, eventsPerSecond: number): Producing {
  const intervalMs = 20;
  let isStopping = false;
  async function run(): Promise<number> {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const counts = new Map<string, number>();
    let produced = 0;
    const startMs = Date.now();
    while (!isStopping) {
      const due = Math.floor(((Date.now() - startMs) / 1000) * eventsPerSecond) - produced;
      const messages = Array.from({ length: Math.min(due, 500) }, (_, i) => {
        const key = `key-${(produced + i) % keys}`;
        const n = counts.get(key) ?? 0;
        counts.set(key, n + 1);
        return { key, value: JSON.stringify({ key, n }), headers: { id: `${key}:${n}` } };
      });
      if (messages.length > 0) await producer.send({ topic, acks: -1, messages });
      produced += messages.length;
      await sleep(intervalMs);
    }
    await producer.disconnect();
    return produced;
  }
  const running = run();
  running.catch(() => undefined); // told by `stop`
  return {
    stop: () => {
      isStopping = true;
      return running;
    },
  };
}

export async function onServer(url: string, statement: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await admin.query(statement);
  } finally {
    await admin.end();
  }
}
