let hook: (point: string) => void = () => undefined;

/**
 * Marks a place where a process may die and the system must still keep its promises. Does nothing, unless a test
 * has replaced the hook. Services pass it to the libraries, which call it at named points.
 */
export function crashPoint(point: string): void {
  hook(point);
}

/** For tests only, from a module loaded with `node --import`; nothing in the environment can switch it on. */
export function replaceCrashPoint(replacement: (point: string) => void): void {
  hook = replacement;
}
