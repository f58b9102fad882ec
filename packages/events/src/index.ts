export { type AnnouncedDeadLetter, deadLetterEvent } from './dead-letter-event.ts';
export { createOrderEventDecoder, type DecodedOrderEvent, type EncodedRecord } from './decode.ts';
export { type EncodedOrderEvent, toOutboxEvent } from './encode.ts';
export {
  Failure,
  type OrderEventData,
  type OrderEventType,
  OrderItem,
  type OrderState,
  orderEventData,
  orderEventTypes,
  orderStates,
} from './order-data.ts';
export { type OrderCreatedEvent, type OrderEvent, orderingKey, partitionKey } from './order-event.ts';
export { deadLettersTopic, ordersTopic, type TopicDeclaration, topics } from './topics.ts';
