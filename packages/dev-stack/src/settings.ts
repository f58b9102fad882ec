/**
 * Server settings that docker and embedded mode share. Durability is left on: tests of what survives a crash
 * would prove nothing against a server that lies about fsync.
 */
export const postgresSettings: Readonly<Record<string, string>> = {
  max_connections: '300',
  wal_level: 'logical',
  timezone: 'UTC',
};

/** One broker; small internal topics and short group waits, since tests kill consumers and wait for the rebalance. */
export const kafkaSettings: Readonly<Record<string, string>> = {
  'auto.create.topics.enable': 'false',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  'group.consumer.min.heartbeat.interval.ms': '100',
  'group.consumer.heartbeat.interval.ms': '500',
  'group.consumer.min.session.timeout.ms': '1000',
  'group.consumer.session.timeout.ms': '5000',
  'offsets.topic.num.partitions': '4',
  'offsets.topic.replication.factor': '1',
  'transaction.state.log.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'log.index.size.max.bytes': '1048576',
  'log.cleaner.dedupe.buffer.size': '16777216',
};

/**
 * A broker of one's own is killed and started again. Kafka does not let it back before its session has run out, 9
 * seconds unless told.
 */
export const ownKafkaSettings: Readonly<Record<string, string>> = {
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
};

/** Images of docker mode. */
export const images = { postgres: 'postgres:18-alpine', kafka: 'confluentinc/cp-kafka:8.0.0' } as const;
