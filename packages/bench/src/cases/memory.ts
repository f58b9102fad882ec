import { writeBacklog } from '../backlog.ts';
import { createBenchDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { renewTopic } from '../bench-topic.ts';
import { type Drained, measureDrain } from '../drained.ts';
import { inTurn, ratios } from '../rounds.ts';
import { spread, spreadText } from '../statistics.ts';

/** Memory of a relay does not grow with what waits for it. */
export async function memory(run: BenchRun): Promise<object> {
  const { memoryRounds, memorySmallEvents, memoryLargeEvents } = run.sizes;
  const rounds = await inTurn(
    memoryRounds,
    {
      small: () => drainOf(run, memorySmallEvents),
      large: () => drainOf(run, memoryLargeEvents),
    },
    (round, name, { events, peakRssMiB }) =>
      run.log(`round ${round}: ${name}, ${events} events, ${peakRssMiB} MiB`),
  );
  run.table(
    'Peak memory of the relay with kafkajs',
    Object.values(rounds).map((ofSize) => ({
      backlog: String(ofSize[0]?.events),
      'peak MiB': spreadText(spread(ofSize.map((one) => one.peakRssMiB)), 0),
      'events/s': spreadText(spread(ofSize.map((one) => one.eventsPerSecond)), 0),
    })),
  );
  const peak = (drained: readonly Drained[]) => drained.map(({ peakRssMiB }) => peakRssMiB);
  run.judge('memory', ratios(peak(rounds.large), peak(rounds.small)));
  return { rounds };
}

async function drainOf(run: BenchRun, events: number): Promise<Drained> {
  const { servers } = run;
  const database = await createBenchDatabase(servers.postgresUrl);
  run.log(`writing a backlog of ${events} events`);
  await writeBacklog(database, benchTopic, events);
  await renewTopic(servers.kafkaBrokers, benchTopic);
  const skip = Math.min(1_000, Math.floor(events / 10));
  const drained = await measureDrain(run, `memory-${events}`, 'relay', {
    postgresUrl: database.url,
    publisher: 'kafkajs',
    window: { skip, count: events - skip },
  });
  await database.drop();
  return { ...drained, events };
}
