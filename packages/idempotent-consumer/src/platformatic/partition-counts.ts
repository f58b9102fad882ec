import type { PlatformaticConsumer } from './client.ts';

/**
 * Tells when a topic has got more partitions, which the client does not see. With the classic protocol nobody else does,
 * and they would be consumed by nobody until the next rebalance.
 */
export function watchPartitionCounts(
  consumer: PlatformaticConsumer,
  topics: readonly string[],
  intervalMs: number,
  onChange: () => Promise<void>,
) {
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  let known: string | undefined;
  const counts = async (): Promise<string> => {
    const metadata = await consumer.metadata({ topics: [...topics], forceUpdate: true });
    return topics.map((topic) => metadata.topics.get(topic)?.partitionsCount).join();
  };
  async function look(): Promise<void> {
    // A client that cannot be reached is noticed elsewhere.
    const now = await counts().catch(() => known);
    if (now === known) return;
    known = now;
    await onChange();
  }
  return {
    /** @throws when there is no such topic */
    async begin(): Promise<void> {
      known = await counts();
      if (isOver) return;
      timer = setInterval(() => void look(), intervalMs);
      timer.unref();
    },
    end(): void {
      isOver = true;
      clearInterval(timer);
    },
  };
}
