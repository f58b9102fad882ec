/**
 * Runs each variant once per round, every second round in the opposite order, so that what drifts (a machine that
 * gets slower, caches that fill) falls on all of them.
 */
export async function inTurn<Name extends string, Result>(
  rounds: number,
  variants: Readonly<Record<Name, () => Promise<Result>>>,
  onResult: (round: number, name: Name, result: Result) => void,
): Promise<Record<Name, Result[]>> {
  const names = Object.keys(variants) as Name[];
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Result[]>;
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of round % 2 === 1 ? names : names.toReversed()) {
      const result = await variants[name]();
      results[name].push(result);
      onResult(round, name, result);
    }
  }
  return results;
}

/** Of each round. */
export function ratios(values: readonly number[], against: readonly number[]): number[] {
  return values.map((value, round) => value / (against[round] ?? Number.NaN));
}
