export { type CrashPoint, crashPoints, killAt } from './testing/crash-points.ts';
export { deliverTwice } from './testing/deliver-twice.ts';
export { type HandlerUnderTest, handlerContract } from './testing/handler-contract.ts';
export { type MemoryRecord, type MemorySource, memorySource } from './testing/memory-source.ts';
export { recordSourceContract } from './testing/record-source-contract.ts';
export type {
  ProducedRecord,
  RecordSourceUnderTest,
  SourceOptionsUnderTest,
} from './testing/source-under-test.ts';
