import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions } from './client.ts';

const leaveTimeoutMs = 5_000;
const memberIdTimeoutMs = 1_000;

interface Leaver {
  readonly createConsumer: (options: PlatformaticConsumerOptions) => PlatformaticConsumer;
  readonly consumer: PlatformaticConsumer;
  readonly logger: Logger;
}

/** Leaves the group and closes the client, within some seconds. Never fails. */
export async function leaveGroup(
  deps: Leaver,
  options: PlatformaticConsumerOptions,
  { isClassic, isJoining }: { isClassic: boolean; isJoining: boolean },
): Promise<void> {
  const { consumer, logger } = deps;
  const late = sleep(leaveTimeoutMs, new Error(`it took more than ${leaveTimeoutMs} ms`), { ref: false });
  const leave = async (): Promise<undefined> => {
    if (isJoining) await endJoin(deps, options);
    if (isClassic) await consumer.leaveGroup(true);
    await consumer.close(true);
  };
  const problem = await Promise.race([leave().catch((error: unknown) => error), late]);
  if (problem === undefined) return;
  logger.warn({ groupId: options.groupId, err: problem }, 'the group could not be left in order');
  await Promise.race([consumer.close(true).catch(() => undefined), late]);
}

/**
 * A join is answered when all members have joined, and until then its connection answers nothing else: it is ended over
 * another one. The broker would wait for a member that joins, and then give it partitions.
 */
async function endJoin(
  { consumer, createConsumer }: Leaver,
  options: PlatformaticConsumerOptions,
): Promise<void> {
  const limitMs = performance.now() + memberIdTimeoutMs;
  while (consumer.memberId === null && performance.now() < limitMs) await sleep(20);
  if (consumer.memberId === null) return;
  const other = createConsumer(options);
  other.on('error', () => undefined);
  other.memberId = consumer.memberId;
  await other.leaveGroup(true).finally(() => other.close(true));
}
