import { startOwnKafka, startOwnPostgres } from '@orders/dev-stack/own-servers';
import { createRandom, freshSeed, type SoakCase } from '@orders/dev-stack/soak';
import { crash, deleteOffsets, outcomeOfVerdict, runWith, stopBeyondSession, storm } from '../faults.ts';
import type { Client } from '../member-process.ts';

const eventsPerSecond = 200;

/** What happens to the members of a group, with each client. */
const groupCases = (client: Client): readonly SoakCase[] => [
  {
    name: `storm-${client}`,
    about: 'a member joins or is killed every 2 s for a minute',
    async run(context) {
      const seed = freshSeed();
      const random = createRandom(seed);
      const servers = await context.servers();
      const harm = (harmed: Parameters<typeof storm>[0]) => storm(harmed, { seconds: 60, random });
      const verdict = await runWith({ servers, client, eventsPerSecond, members: 2, harm }, context);
      return outcomeOfVerdict(verdict, { seed });
    },
  },
  {
    name: `standstill-${client}`,
    about: 'members stand still beyond their session in the middle of a transaction, and go on',
    async run(context) {
      const seed = freshSeed();
      const random = createRandom(seed);
      const servers = await context.servers();
      const verdict = await runWith(
        {
          servers,
          client,
          eventsPerSecond,
          members: 3,
          handleMs: 300,
          harm: (harmed) => stopBeyondSession(harmed, { times: 6, random }),
        },
        context,
      );
      return outcomeOfVerdict(verdict, { seed });
    },
  },
  {
    name: `offsets-${client}`,
    about: 'the offsets of the group are deleted: everything is delivered once more',
    async run(context) {
      const servers = await context.servers();
      const verdict = await runWith(
        { servers, client, eventsPerSecond, members: 2, harm: deleteOffsets },
        context,
      );
      return outcomeOfVerdict(verdict);
    },
  },
];

/** PostgreSQL and Kafka go away, with each client. */
const serverCases = (client: Client): readonly SoakCase[] => [
  {
    name: `postgres-${client}`,
    about: 'PostgreSQL crashes eight times while chunks are committed, and is away for a minute once',
    async run(context) {
      const seed = freshSeed();
      const random = createRandom(seed);
      const postgres = await startOwnPostgres();
      context.atEnd(postgres.close);
      const { kafkaBrokers } = await context.servers();
      const verdict = await runWith(
        {
          servers: { postgresUrl: postgres.url, kafkaBrokers },
          client,
          eventsPerSecond,
          members: 2,
          handleMs: 100,
          async harm(harmed) {
            await crash(postgres, harmed, { times: 8, awayMs: 200, random });
            await crash(postgres, harmed, { times: 1, awayMs: 60_000, random });
          },
        },
        context,
      );
      return outcomeOfVerdict(verdict, { seed });
    },
  },
  {
    name: `kafka-${client}`,
    about: 'the broker crashes twice, and is away for a minute once',
    async run(context) {
      const seed = freshSeed();
      const random = createRandom(seed);
      const kafka = await startOwnKafka();
      context.atEnd(kafka.close);
      const { postgresUrl } = await context.servers();
      const verdict = await runWith(
        {
          servers: { postgresUrl, kafkaBrokers: kafka.brokers },
          client,
          eventsPerSecond,
          members: 2,
          async harm(harmed) {
            await crash(kafka, harmed, { times: 2, awayMs: 200, random });
            await crash(kafka, harmed, { times: 1, awayMs: 60_000, random });
          },
        },
        context,
      );
      return outcomeOfVerdict(verdict, { seed });
    },
  },
];

export const groups: readonly SoakCase[] = (
  ['kafkajs', 'platformatic', 'platformatic-consumer'] as const
).flatMap((client) => [...groupCases(client), ...serverCases(client)]);
