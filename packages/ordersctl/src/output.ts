/** Where a command writes: its answer to `out`, everything else to `err`. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
  /** Has `stop` called at Ctrl-C instead of ending the process. @returns what undoes it */
  onInterrupt?(stop: () => void): () => void;
}

/** Options that every command has. */
export interface CommonOptions {
  /** The answer as one JSON document; an error as one line of JSON. */
  readonly json?: boolean;
  /** Stack of an error, and the log of the Kafka client. */
  readonly verbose?: boolean;
}

/** Prints a command's answer: for programs as JSON, for people as `lines`. */
export function answer(
  output: Output,
  options: CommonOptions,
  value: object,
  lines: readonly string[],
): void {
  output.out(options.json ? `${JSON.stringify(value)}\n` : lines.map((line) => `${line}\n`).join(''));
}

/** Prints an error as one line, its code behind it. */
export function complain(output: Output, options: CommonOptions, error: unknown): void {
  const { code, stack } = error as { code?: unknown; stack?: string };
  const message = inOneLine(error);
  if (options.json) {
    output.err(`${JSON.stringify({ error: { message, ...(typeof code === 'string' ? { code } : {}) } })}\n`);
  } else {
    output.err(`error: ${message}${typeof code === 'string' ? ` (${code})` : ''}\n`);
  }
  if (options.verbose && stack !== undefined) output.err(`${stack}\n`);
}

/** The message of an error; a failed connection to a name with several addresses has one message for each. */
function inOneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const messages =
    error instanceof AggregateError && error.message === ''
      ? error.errors.map((one: unknown) => inOneLine(one))
      : [error.message];
  return messages.join('; ').replaceAll(/\s*\n\s*/g, ' ');
}
