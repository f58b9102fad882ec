export {
  type ProducedRecord,
  type RecordSourceUnderTest,
  recordSourceContract,
  type SourceOptionsUnderTest,
} from './testing/record-source-contract.ts';
