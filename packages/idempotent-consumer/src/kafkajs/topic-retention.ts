import type { Kafka } from 'kafkajs';

/** kafkajs's number for a topic among the resources that have a configuration. */
const topicResource = 2;

/**
 * For how long topics keep their records, the longest of them; Infinity where one is compacted, or keeps them for ever.
 * On a connection of its own, which is closed at once. @throws what the broker refuses: it needs the right DescribeConfigs
 */
export async function topicRetentionMs(kafka: Kafka, topics: readonly string[]): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: topics.map((name) => ({
        name,
        type: topicResource,
        configNames: ['cleanup.policy', 'retention.ms'],
      })),
    });
    return Math.max(
      ...resources.map(({ configEntries }) => {
        const settingOf = (name: string) => configEntries.find((one) => one.configName === name)?.configValue;
        const keptMs = Number(settingOf('retention.ms'));
        return settingOf('cleanup.policy') === 'delete' && keptMs >= 0 ? keptMs : Number.POSITIVE_INFINITY;
      }),
    );
  } finally {
    await admin.disconnect();
  }
}
