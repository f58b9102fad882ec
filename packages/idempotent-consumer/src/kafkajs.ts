import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { fullJitterMs } from './backoff.ts';
import { OffsetOutOfRangeError } from './kafkajs/beginning.ts';
import { registerCodecs } from './kafkajs/codecs.ts';
import { patchHeaderDecoder } from './kafkajs/header-decoder.ts';
import { stopIdleTimers } from './kafkajs/idle-timer.ts';
import { type KafkajsSourceOptions, settingsOf } from './kafkajs/options.ts';
import { createPositions } from './kafkajs/positions.ts';
import { createSession, type Session } from './kafkajs/session.ts';
import { createStanding } from './kafkajs/standing.ts';
import { topicRetentionMs } from './kafkajs/topic-retention.ts';
import type { RecordSink, RecordSource } from './source.ts';

export type { KafkajsSourceOptions } from './kafkajs/options.ts';

/** Between two kafkajs consumers, when one has come to its end. */
const rebuildBackoff = { baseMs: 500, maxMs: 30_000 };

/**
 * A {@link RecordSource} on kafkajs 2.2.4. All that is peculiar to kafkajs is here and in the folder beside it:
 * - it fetches from a broker again only when all batches of the last answer are handled: a batch is waited for only
 *   briefly, and while a partition is busy it is left out of the fetches;
 * - its payloads know no generation, and it commits offsets of partitions that are somebody else's by then (#1046,
 *   #1366): fetches are marked with the generation under which they were begun;
 * - one batch that it cannot decode fails all partitions of that broker: that partition is found out and left out;
 * - an offset out of range silently becomes the default one (#1119): that is taken over before it does so;
 * - it leaves no group that it is about to join, and some of its crashes leave none: the source leaves by itself;
 * - after an error that it takes for final it ends, and may hang without a word (#659, #1277): it is watched and built
 *   anew, by us rather than by its own restart, so that there is one place that waits and tells.
 *
 * @throws ConsumerError CONSUMER_OPTION_INVALID
 */
export function kafkajsSource(deps: { readonly kafka: Kafka }, options: KafkajsSourceOptions): RecordSource {
  const settings = settingsOf(options);
  const { groupId, topics } = settings;
  if (settings.patchIdleTimer) stopIdleTimers();
  if (settings.patchHeaderDecoder) patchHeaderDecoder();
  if (settings.registerCodecs) registerCodecs();
  const stopping = new AbortController();
  const positions = createPositions(deps.kafka, groupId);
  let session: Session | undefined;
  let running: Promise<void> | undefined;

  async function run(sink: RecordSink): Promise<void> {
    const standing = createStanding(sink, settings);
    const { kafka } = deps;
    let failures = 0;
    while (!stopping.signal.aborted) {
      session = createSession({ kafka, sink, settings, standing, stop: stopping.signal });
      const error = await session.ended;
      if (stopping.signal.aborted || error instanceof OffsetOutOfRangeError) return;
      failures = session.hasWorked() ? 1 : failures + 1;
      const delayMs = fullJitterMs(failures, rebuildBackoff);
      sink.count('sourceRestarts');
      sink.logger.warn(
        { groupId, delayMs, failures, err: error },
        'the consumer lost its connection to the group, building it anew',
      );
      // Ends early, without an error, on stop.
      await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  return {
    groupId,
    topics,
    start: (sink) => {
      if (!stopping.signal.aborted) running ??= run(sink);
    },
    stop: async () => {
      stopping.abort();
      await running;
      await positions.close();
    },
    isHealthy: () => !stopping.signal.aborted && session?.isAlive() === true,
    positions: async () => positions.of(session?.assigned() ?? new Map()),
    topicRetentionMs: () => topicRetentionMs(deps.kafka, topics),
  };
}
