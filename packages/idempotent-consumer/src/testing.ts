export { type CrashPoint, crashPoints, killAt } from './testing/crash-points.ts';
export { deliverTwice } from './testing/deliver-twice.ts';
export { type HandlerUnderTest, handlerContract } from './testing/handler-contract.ts';
export { type MemoryRecord, type MemorySource, memorySource } from './testing/memory-source.ts';
export {
  type ProducedRecord,
  type RecordSourceUnderTest,
  recordSourceContract,
  type SourceOptionsUnderTest,
} from './testing/record-source-contract.ts';
