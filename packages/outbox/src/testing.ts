export { assertPublished, type ExpectedRecord } from './testing/assert-published.ts';
export { checkHistory, type History, type HistoryReport } from './testing/history.ts';
export { createMemoryBroker, type MemoryBroker } from './testing/memory-broker.ts';
export {
  type PublisherUnderTest,
  publisherContract,
  type ReceivedRecord,
} from './testing/publisher-contract.ts';
