export {
  type Figures,
  outcomeOf,
  type Servers,
  type SoakCase,
  type SoakContext,
  type SoakOutcome,
  skipped,
} from './soak/case.ts';
export { type SoakCommand, soakMain } from './soak/main.ts';
export { createRandom, freshSeed, type Random } from './soak/random.ts';
export { type CaseResult, closingLine, runCases, totalsOf } from './soak/runner.ts';
export { createTopic, uniqueName } from './topic.ts';
