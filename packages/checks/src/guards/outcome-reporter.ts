import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** What one test came to. */
export interface TestOutcome {
  /** Relative to the package. */
  file: string;
  /** Joined by ` > `. */
  name: string;
  state: 'passed' | 'failed' | 'skipped' | 'pending';
  errors: OutcomeError[];
}

/** An error with the names of its causes: vitest's own JSON report loses both for `expect.poll` and `rejects`. */
export interface OutcomeError {
  names: string[];
  message: string;
}

export interface RunOutcome {
  tests: TestOutcome[];
  /** Of files that could not be loaded, and unhandled ones. */
  otherErrors: OutcomeError[];
}

/** Where the reporter writes a RunOutcome as JSON. */
export const outcomeFileVariable = 'CHECKS_OUTCOME_FILE';

/** A vitest reporter that keeps what is needed to tell a failed assertion from every other way to fail. */
export default class OutcomeReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const file = process.env[outcomeFileVariable];
    if (!file) throw new Error(`${outcomeFileVariable} is not set`);
    writeFileSync(file, JSON.stringify(runOutcome(modules, unhandled)));
  }
}

function runOutcome(modules: readonly TestModule[], unhandled: readonly SerializedError[]): RunOutcome {
  return {
    tests: modules.flatMap((module) =>
      [...module.children.allTests()].map((test) => ({
        file: module.relativeModuleId,
        name: test.fullName,
        state: test.result().state,
        errors: (test.result().errors ?? []).map(outcomeError),
      })),
    ),
    otherErrors: [...modules.flatMap((module) => module.errors()), ...unhandled].map(outcomeError),
  };
}

const causesMax = 5;

function outcomeError(error: SerializedError): OutcomeError {
  const names: string[] = [];
  let current: Partial<SerializedError> | undefined = error;
  while (current && typeof current === 'object' && names.length < causesMax) {
    names.push(current.name ?? 'Error');
    current = current.cause as Partial<SerializedError> | undefined;
  }
  return { names, message: String(error.message) };
}
