import type { Guard, NamedTest } from './guard-patch.ts';
import type { OutcomeError, TestOutcome } from './outcome-reporter.ts';
import type { NamedTestResult } from './run-named-tests.ts';

/** Why the guard's tests do not stand for it with the guard in place; undefined when they pass. */
export function judgeUnpatched(guard: Guard, result: NamedTestResult): string | undefined {
  const why = judgeAll(guard, result, passes);
  return why === undefined ? undefined : `with the guard in place: ${why}`;
}

/** Why removing the guard does not show what its patch claims; undefined when it does. */
export function judgePatched(guard: Guard, result: NamedTestResult): string | undefined {
  if (guard.expect === 'red') return judgeAll(guard, result, failsByAssertion);
  return judgeAll(guard, result, passes) ?? unhandledIn(result);
}

type JudgeTest = (outcome: TestOutcome) => string | undefined;

function judgeAll(guard: Guard, result: NamedTestResult, judge: JudgeTest): string | undefined {
  if (result.kind === 'timed-out') return `the tests did not end in time\n${result.output}`;
  if (result.kind === 'crashed') return `vitest ended without a result\n${result.output}`;
  for (const test of guard.tests) {
    const outcomes = result.tests.filter((one) => one.file === test.file && one.name === test.name);
    if (outcomes.length === 0) return notFound(test, result.otherErrors);
    for (const outcome of outcomes) {
      const why = judge(outcome);
      if (why) return `${why}: ${test.file} :: ${test.name}`;
    }
  }
  return undefined;
}

function notFound(test: NamedTest, otherErrors: readonly OutcomeError[]): string {
  const [error] = otherErrors;
  if (error) return `the tests could not be run: ${describe(error)}`;
  return `there is no such test: ${test.file} :: ${test.name}`;
}

function passes({ state, errors: [error] }: TestOutcome): string | undefined {
  if (state === 'passed') return undefined;
  return state === 'failed' ? `a test fails (${error ? describe(error) : 'no error'})` : 'a test did not run';
}

function failsByAssertion({ state, errors: [error] }: TestOutcome): string | undefined {
  if (state === 'passed') return 'the test still passes without the guard';
  if (state !== 'failed' || !error) return 'the test did not run';
  // Property tests wrap the assertion that failed, so the causes count too.
  if (error.names.includes('AssertionError')) return undefined;
  return `the test fails, but not by an assertion (${describe(error)})`;
}

function unhandledIn(result: NamedTestResult): string | undefined {
  const [error] = result.kind === 'ran' ? result.otherErrors : [];
  return error && `the tests pass, with an error beside them (${describe(error)})`;
}

function describe({ names, message }: OutcomeError): string {
  return `${names[0]}: ${message.split('\n', 1)[0]}`;
}
