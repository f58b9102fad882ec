/** A flag that a loop sleeps on; raised while nobody sleeps, it makes the next sleep end at once. */
export interface Signal {
  raise(): void;
  /** Ends when raised or after `ms`, and lowers the flag. */
  sleep(ms: number): Promise<void>;
}

/** A lowered flag, for one sleeper. */
export function createSignal(): Signal {
  let raised = false;
  let wakeUp: (() => void) | undefined;
  return {
    raise() {
      raised = true;
      wakeUp?.();
    },
    async sleep(ms) {
      if (!raised && ms > 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, ms);
        wakeUp = resolve;
        await promise;
        wakeUp = undefined;
        clearTimeout(timer);
      }
      raised = false;
    },
  };
}
