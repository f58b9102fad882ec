import { type Command, Option } from 'commander';
import { common, databaseEnvironment, positiveInteger } from './command-options.ts';
import type { DecideOptions } from './dead-letter-decisions.ts';
import {
  type DeciderOptions,
  deciderOptions,
  jobId,
  type LetterId,
  letterId,
  rate,
  type SelectionOptions,
  selectionOptions,
} from './dead-letter-options.ts';
import type { CommonOptions, Output } from './output.ts';

/** `ordersctl dead-letters …` */
export function addDeadLetterCommands(program: Command, output: Output): void {
  const letters = program
    .command('dead-letters')
    .description('Events that were given up on: of the outbox, and of the consumers');
  addLooking(letters, output);
  addDeciding(letters, output);
  addJobs(letters.command('jobs').description('Replays and discards of many dead letters'), output);
}

function addLooking(letters: Command, output: Output): void {
  selectionOptions(common(letters.command('list')))
    .description('Show dead letters, the oldest first: the outbox’s, then the consumers’.')
    .addOption(
      new Option('--state <state>', 'of the consumers’; the outbox’s are those that wait for a decision')
        .choices(['dead', 'due', 'done', 'discarded', 'all'])
        .default('dead'),
    )
    .option('--limit <n>', 'on one page', positiveInteger, 50)
    .option('--after <cursor>', 'the page behind the one that has shown this')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: SelectionOptions & { state: string; limit: number; after?: string }) => {
      const { listLetters } = await import('./dead-letters.ts');
      await listLetters(output, options);
    });
  common(letters.command('show'))
    .description('Show one with its record, and what was done with it.')
    .requiredOption('--id <id>', 'as `list` shows it', letterId)
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { id: LetterId }) => {
      const { showLetter } = await import('./dead-letters.ts');
      await showLetter(output, options);
    });
}

const decisions = [
  [
    'replay',
    'Have the events tried again, those of a key in order: by the relays, or by the consumer. Nothing is handled twice.',
  ],
  ['discard', 'Give the events up for good; what waits behind them goes on.'],
] as const;

function addDeciding(letters: Command, output: Output): void {
  for (const [name, description] of decisions) {
    const command = common(letters.command(name))
      .description(description)
      .option('--id <id>', 'one, as `list` shows it', letterId);
    rate(deciderOptions(selectionOptions(command).option('--all', 'all of --of')))
      .option('--dry-run', 'say how many, and change nothing')
      .addHelpText(
        'after',
        '\nOf a consumer, many are done by a job: Ctrl-C ends it after its batch, `jobs resume` goes on with it.',
      )
      .addHelpText('after', databaseEnvironment)
      .action(async (options: DecideOptions) => {
        const { decideLetters } = await import('./dead-letter-decisions.ts');
        await decideLetters(output, name === 'replay' ? 'REPLAY' : 'DISCARD', options);
      });
  }
}

function addJobs(jobs: Command, output: Output): void {
  common(jobs.command('list'))
    .description('Show the jobs and how far they are, the newest first.')
    .option('--running', 'those that are not finished')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { running?: boolean }) => {
      const { listJobs } = await import('./dead-letter-jobs.ts');
      await listJobs(output, options);
    });
  common(jobs.command('resume'))
    .description('Go on with a job that was left off; while another process runs it, wait.')
    .requiredOption('--id <n>', 'its number', jobId)
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { id: string }) => {
      const { resumeJob } = await import('./dead-letter-jobs.ts');
      await resumeJob(output, options);
    });
  deciderOptions(common(jobs.command('cancel')))
    .description('End a job for good; what it has done stays done.')
    .requiredOption('--id <n>', 'its number', jobId)
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & DeciderOptions & { id: string }) => {
      const { cancelJob } = await import('./dead-letter-jobs.ts');
      await cancelJob(output, options);
    });
}
