import { type Figures, freshSeed, outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { runHistory } from '../adversary/run.ts';
import { wantedSeed } from '../config.ts';
import { brokenPromises, figuresOf } from './judged.ts';

const rounds = 3;
const events = 50_000;
const takeovers = 30;

/** The adversarial test at full length, with three seeds. */
export const adversarial: SoakCase = {
  name: 'adversarial',
  about: `${rounds} seeds of ${events} events and ${takeovers} takeovers each; OUTBOX_SEED gives the first seed`,
  async run({ log, servers }) {
    const figures: Record<string, Figures[string]> = {};
    const broken: (string | false)[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const seed = round === 1 ? wantedSeed() : freshSeed();
      log(`seed ${seed}`);
      const relays = adversarialRelays({ seed, takeovers });
      const report = await runHistory(await servers(), { seed, events, relays, log });
      for (const [name, value] of Object.entries(figuresOf(report))) figures[`${round}.${name}`] = value;
      figures[`${round}.unexplainedDuplicates`] = report.unexplainedDuplicates;
      broken.push(...brokenPromises(report));
      broken.push(
        report.unexplainedDuplicates > 0 && `${report.unexplainedDuplicates} duplicates without a takeover`,
      );
    }
    return outcomeOf(figures, broken);
  },
};
