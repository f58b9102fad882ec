/** A Kafka topic of ours. `ordersctl topics apply` creates it; clients never auto-create one. */
export interface TopicDeclaration {
  readonly name: string;
  /** Fixed for the life of the topic: another number would send a key's later events to another partition. */
  readonly partitions: number;
}

/** Every event of every order, partitioned by tenant and customer. */
export const ordersTopic: TopicDeclaration = { name: 'orders.events', partitions: 12 };

/** What a consumer of ours has given up on, one record for each dead letter: where it stands and why. */
export const deadLettersTopic: TopicDeclaration = { name: 'orders.dead-letters', partitions: 1 };

/** All topics of the product, in the order in which they are created. */
export const topics: readonly TopicDeclaration[] = [ordersTopic, deadLettersTopic];
