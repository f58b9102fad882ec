import type { Kafka } from 'kafkajs';
import { ownCluster } from './cluster-tap.ts';

/**
 * Takes a member out of its group over a connection of its own: a broker answers the requests of one connection one
 * after the other, so on kafkajs's own a leave would wait behind the join that it is to end. A member that is not in
 * the group any more has nothing to leave.
 */
export async function leaveGroup(kafka: Kafka, groupId: string, memberId: string): Promise<void> {
  const cluster = ownCluster(kafka, groupId);
  try {
    await cluster.connect();
    const coordinator = await cluster.findGroupCoordinator({ groupId });
    await coordinator.leaveGroup({ groupId, memberId });
  } catch (error) {
    if ((error as { type?: string }).type !== 'UNKNOWN_MEMBER_ID') throw error;
  } finally {
    await cluster.disconnect();
  }
}
