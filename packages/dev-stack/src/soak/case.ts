/** Where a case finds its servers; the URL is a superuser's. */
export interface Servers {
  readonly postgresUrl: string;
  readonly kafkaBrokers: string[];
}

/** What a case is given. */
export interface SoakContext {
  /** Progress, one line each. */
  log(line: string): void;
  /** The development stack, shared by the cases that take nothing away. */
  servers(): Promise<Servers>;
  /** Runs at the end of the case, whatever comes of it; the last one first. */
  atEnd(close: () => Promise<unknown>): void;
}

/** What a case measured, by name. */
export type Figures = Readonly<Record<string, number | string>>;

export type SoakOutcome =
  | { readonly outcome: 'passed'; readonly figures: Figures }
  | { readonly outcome: 'failed'; readonly reason: string; readonly figures: Figures }
  | { readonly outcome: 'skipped'; readonly reason: string; readonly figures: Figures };

export interface SoakCase {
  readonly name: string;
  /** One line for `--help`. */
  readonly about: string;
  /** A rejection counts as failed. */
  run(context: SoakContext): Promise<SoakOutcome>;
}

/** @param broken what does not hold, in words; nothing means passed */
export function outcomeOf(figures: Figures, broken: readonly (string | false)[]): SoakOutcome {
  const reasons = broken.filter((one) => one !== false);
  if (reasons.length === 0) return { outcome: 'passed', figures };
  return { outcome: 'failed', reason: reasons.join('; '), figures };
}

export const skipped = (reason: string): SoakOutcome => ({ outcome: 'skipped', reason, figures: {} });
