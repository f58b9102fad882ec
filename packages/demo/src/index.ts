export { exampleOrder } from './order-client.ts';
export { groupCaughtUp, headerOf, readTopic, type TopicRecord } from './records.ts';
export type { ServiceOptions, SystemService } from './services.ts';
export { type System, startSystem } from './system.ts';
