import { freshSeed } from '@orders/dev-stack/soak';

/** The seed of `OUTBOX_SEED`, to repeat a run that failed; else a fresh one. */
export function wantedSeed(): number {
  const { OUTBOX_SEED: given } = process.env;
  if (!given) return freshSeed();
  if (!/^\d{1,9}$/.test(given))
    throw new Error(`OUTBOX_SEED=${given}: give a whole number below 1,000,000,000`);
  return Number(given);
}
