/** Bounds how many pieces of work run at the same time; the others wait in order. */
export interface Slots {
  /** Runs `work` when a slot is free; @throws what `work` throws. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];

  async function take(): Promise<void> {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
  }

  function give(): void {
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
  }

  return {
    async run(work) {
      await take();
      try {
        return await work();
      } finally {
        give();
      }
    },
  };
}

/** Pieces of work that may run beside each other, and such as must run alone, because they may end their process. */
export interface Company {
  /** Waits while something runs alone, or waits to. @throws what `work` throws */
  beside<T>(work: () => Promise<T>): Promise<T>;
  /** Waits until nothing else runs. @throws what `work` throws */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

export function createCompany(): Company {
  const waiting: { readonly isAlone: boolean; readonly start: () => void }[] = [];
  let running = 0;
  let isSomebodyAlone = false;

  function startNext(): void {
    for (let [next] = waiting; next !== undefined; [next] = waiting) {
      if (isSomebodyAlone || (next.isAlone && running > 0)) return;
      waiting.shift();
      running++;
      isSomebodyAlone = next.isAlone;
      next.start();
    }
  }

  async function run<T>(isAlone: boolean, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((start) => {
      waiting.push({ isAlone, start });
      startNext();
    });
    try {
      return await work();
    } finally {
      running--;
      isSomebodyAlone = false;
      startNext();
    }
  }

  return { beside: (work) => run(false, work), alone: (work) => run(true, work) };
}
