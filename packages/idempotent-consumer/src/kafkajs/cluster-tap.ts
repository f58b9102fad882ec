import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs, { type Cluster, type Kafka, type PartitionAssigner } from 'kafkajs';

/** The parts of kafkajs 2.2.4's internals that are listened to. They belong to one consumer and to nobody else. */
export interface FetchRequest {
  readonly topics: readonly RequestedTopic[];
  readonly maxWaitTime: number;
}
export interface RequestedTopic {
  readonly topic: string;
  readonly partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[];
}
export interface FetchResponse {
  readonly responses: readonly { topicName: string; partitions: readonly FetchedPartition[] }[];
}
export interface FetchedPartition {
  readonly partition: number;
  /** What kafkajs's Batch keeps as `rawMessages`. */
  readonly messages: readonly object[];
}
export interface TopicOffsets {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
}
export interface OffsetsRequest {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number }[];
  readonly fromBeginning?: boolean;
  readonly fromTimestamp?: number;
}
interface JoinRequest {
  readonly memberId?: string;
}
interface JoinAnswer {
  readonly memberId: string;
  readonly generationId: number;
}
export interface TappedBroker {
  fetch(request: FetchRequest): Promise<FetchResponse>;
  joinGroup(request: JoinRequest): Promise<JoinAnswer>;
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
  offsetCommit(request: object): Promise<unknown>;
  offsetFetch(request: {
    groupId: string;
    topics: readonly OffsetsRequest[];
  }): Promise<{ responses: readonly TopicOffsets[] }>;
  readonly connectionPool?: { send(request: { request?: { apiName?: string } }): Promise<unknown> };
}
export interface TappedCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  findBroker(node: { nodeId: string }): Promise<TappedBroker>;
  findGroupCoordinator(group: { groupId: string }): Promise<TappedBroker>;
  findTopicPartitionMetadata(topic: string): { partitionId: number }[];
  fetchTopicsOffset(request: readonly OffsetsRequest[]): Promise<TopicOffsets[]>;
}

/** What is asked before kafkajs does it, and told of what became of it. */
export interface ClusterHooks {
  /** In place of every fetch. */
  fetch(request: FetchRequest, original: TappedBroker['fetch']): Promise<FetchResponse>;
  /** Before every request to join; what it throws ends the consumer. `memberId` is empty for the first. */
  beforeJoin(memberId: string): Promise<void>;
  /** The coordinator has given a name to this member, which is in the group from then on. */
  onMemberId(memberId: string): void;
  onJoined(answer: JoinAnswer): void;
  onLeft(): void;
  /** A broker could not be reached. */
  onUnreachable(): void;
  /** In place of kafkajs's own answer where no offset is committed. */
  findBeginnings(request: readonly OffsetsRequest[], cluster: OriginalCluster): Promise<TopicOffsets[]>;
}

/** The cluster as kafkajs made it. */
export type OriginalCluster = Pick<
  TappedCluster,
  'fetchTopicsOffset' | 'findGroupCoordinator' | 'findTopicPartitionMetadata'
>;

/**
 * kafkajs's events tell what has happened, and its payloads know no generation. But every consumer shows its own
 * cluster to its partition assigners, which is part of kafkajs's API: here its round-robin assigner is given, with
 * hooks put into that cluster and its brokers. Other members of the group see no difference.
 */
export function tappedAssigner(
  hooks: ClusterHooks,
  onCluster: (cluster: OriginalCluster) => void,
): PartitionAssigner {
  return (config) => {
    onCluster(tap(config.cluster as unknown as TappedCluster, hooks));
    return kafkajs.PartitionAssigners.roundRobin(config);
  };
}

/** A kafkajs cluster of its own, not connected, for what kafkajs's admin client cannot do. */
export function ownCluster(kafka: Kafka, groupId: string): TappedCluster {
  let found: Cluster | undefined;
  const assigner: PartitionAssigner = (config) => {
    found = config.cluster;
    return kafkajs.PartitionAssigners.roundRobin(config);
  };
  kafka.consumer({ groupId, partitionAssigners: [assigner] });
  return found as unknown as TappedCluster;
}

function tap(cluster: TappedCluster, hooks: ClusterHooks): OriginalCluster {
  const tapped = new WeakSet<TappedBroker>();
  const findBroker = cluster.findBroker.bind(cluster);
  const fetchTopicsOffset = cluster.fetchTopicsOffset.bind(cluster);
  const original: OriginalCluster = {
    fetchTopicsOffset,
    findGroupCoordinator: cluster.findGroupCoordinator.bind(cluster),
    findTopicPartitionMetadata: cluster.findTopicPartitionMetadata.bind(cluster),
  };
  cluster.findBroker = async (node) => {
    const broker = await findBroker(node).catch((error: unknown) => {
      hooks.onUnreachable();
      throw error;
    });
    if (!tapped.has(broker)) tapBroker(broker, hooks);
    tapped.add(broker);
    return broker;
  };
  cluster.fetchTopicsOffset = (request) => hooks.findBeginnings(request, original);
  return original;
}

/** A coordinator that has just begun to be one is soon ready; kafkajs gives up. */
const isLoading = (error: unknown) => (error as { type?: string }).type === 'GROUP_LOAD_IN_PROGRESS';
const loadingAttemptsMax = 10;
const loadingPauseMs = 300;

function tapBroker(broker: TappedBroker, hooks: ClusterHooks): void {
  const fetch = broker.fetch.bind(broker);
  broker.fetch = (request) => hooks.fetch(request, fetch);
  const joinGroup = broker.joinGroup.bind(broker);
  broker.joinGroup = async (request) => {
    for (let attempt = 1; ; attempt++) {
      await hooks.beforeJoin(request.memberId ?? '');
      try {
        const answer = await joinGroup(request);
        hooks.onJoined(answer);
        return answer;
      } catch (error) {
        if (!isLoading(error) || attempt === loadingAttemptsMax) throw error;
        await sleep(loadingPauseMs);
      }
    }
  };
  const leaveGroup = broker.leaveGroup.bind(broker);
  broker.leaveGroup = async (request) => {
    const answer = await leaveGroup(request);
    hooks.onLeft();
    return answer;
  };
  tellMemberIds(broker.connectionPool, hooks);
}

/** The coordinator names a new member by refusing its first request to join, which kafkajs keeps to itself. */
function tellMemberIds(pool: TappedBroker['connectionPool'], hooks: ClusterHooks): void {
  if (typeof pool?.send !== 'function') return;
  const send = pool.send.bind(pool);
  pool.send = (request) => {
    const answer = send(request);
    if (request.request?.apiName !== 'JoinGroup') return answer;
    return answer.catch((error: { name?: string; memberId?: unknown }) => {
      if (error?.name === 'KafkaJSMemberIdRequired') hooks.onMemberId(String(error.memberId));
      throw error;
    });
  };
}
