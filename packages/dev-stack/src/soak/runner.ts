import type { Servers, SoakCase, SoakContext, SoakOutcome } from './case.ts';

export type CaseResult = { readonly name: string; readonly seconds: number } & SoakOutcome;

/** The development stack, as far as the runner needs it. */
export interface HeldServers extends Servers {
  release(): Promise<void>;
}

export interface RunnerDeps {
  say(line: string): void;
  /** Asked only if a case wants servers; given back at the end. */
  acquire(log: (line: string) => void): Promise<HeldServers>;
}

/** Runs one case after the other; one that throws has failed, and the next one runs all the same. */
export async function runCases(
  cases: readonly SoakCase[],
  { say, acquire }: RunnerDeps,
): Promise<CaseResult[]> {
  let held: Promise<HeldServers> | undefined;
  const results: CaseResult[] = [];
  for (const one of cases) {
    const startMs = Date.now();
    const elapsedS = () => Math.round((Date.now() - startMs) / 1000);
    const log = (line: string) => say(`${one.name} ${String(elapsedS()).padStart(4)} s  ${line}`);
    say(`\n${one.name}: ${one.about}`);
    const outcome = await runCase(one, {
      log,
      servers: () => {
        held ??= acquire(log);
        return held;
      },
    });
    results.push({ name: one.name, seconds: elapsedS(), ...outcome });
    for (const [name, value] of Object.entries(outcome.figures)) say(`  ${name.padEnd(26)} ${value}`);
    log(outcome.outcome === 'passed' ? 'passed' : `${outcome.outcome}: ${outcome.reason}`);
  }
  // One that could not be started has failed its cases already.
  await held?.then(
    (servers) => servers.release(),
    () => undefined,
  );
  return results;
}

async function runCase(one: SoakCase, context: Omit<SoakContext, 'atEnd'>): Promise<SoakOutcome> {
  const closing: (() => Promise<unknown>)[] = [];
  try {
    return await one.run({ ...context, atEnd: (close) => closing.unshift(close) });
  } catch (error) {
    return { outcome: 'failed', reason: (error as Error).message, figures: {} };
  } finally {
    for (const close of closing) await close();
  }
}

export interface SoakTotals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function totalsOf(results: readonly CaseResult[]): SoakTotals {
  const count = (outcome: SoakOutcome['outcome']) => results.filter((one) => one.outcome === outcome).length;
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
}

export const closingLine = ({ passed, failed, skipped }: SoakTotals): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;
