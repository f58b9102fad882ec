export { type MemoryRecord, type MemorySource, memorySource } from './testing/memory-source.ts';
export {
  type ProducedRecord,
  type RecordSourceUnderTest,
  recordSourceContract,
  type SourceOptionsUnderTest,
} from './testing/record-source-contract.ts';
