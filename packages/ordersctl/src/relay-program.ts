import type { Command } from 'commander';
import { common, databaseEnvironment, deadLetterId } from './command-options.ts';
import type { CommonOptions, Output } from './output.ts';

/** `ordersctl relay …` */
export function addRelayCommands(program: Command, output: Output): void {
  const relay = program.command('relay').description('The relays');
  addControl(relay, output);
  addDeadLetters(relay, output);
}

function addControl(relay: Command, output: Output): void {
  common(relay.command('status'))
    .description('Show what waits, who has it, and what is paused, blocked or set aside.')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions) => {
      const { showStatus } = await import('./relay-control.ts');
      await showStatus(output, options);
    });
  common(relay.command('pause'))
    .description('Have all relays publish nothing until `resume`; what is being published is finished.')
    .option('--reason <text>', 'shown by `status` and in the relays’ log')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { reason?: string }) => {
      const { pause } = await import('./relay-control.ts');
      await pause(output, options);
    });
  common(relay.command('resume'))
    .description('Have the relays go on.')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions) => {
      const { resume } = await import('./relay-control.ts');
      await resume(output, options);
    });
  common(relay.command('adopt-restored'))
    .description('Have the relays publish an outbox that was restored from another server.')
    .option('--yes', 'do it; without it nothing is changed')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { yes?: boolean }) => {
      const { adoptRestored } = await import('./relay-control.ts');
      await adoptRestored(output, options);
    });
}

function addDeadLetters(relay: Command, output: Output): void {
  common(relay.command('dead-letters'))
    .description('Now `dead-letters list`: show the events that the broker never takes, oldest first.')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions) => {
      const { showDeadLetters } = await import('./relay-commands.ts');
      await showDeadLetters(output, options);
    });
  common(relay.command('redrive'))
    .description(
      'Now `dead-letters replay`: publish a dead letter again and, in order, what waits behind it.',
    )
    .requiredOption('--id <n>', 'its number', deadLetterId)
    .option('--reason <text>', 'kept with it')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { id: number; reason?: string }) => {
      const { redriveDeadLetter } = await import('./relay-commands.ts');
      await redriveDeadLetter(output, options);
    });
  common(relay.command('skip'))
    .description(
      'Now `dead-letters discard`: give a dead letter up; it is never published, what waits behind it is.',
    )
    .requiredOption('--id <n>', 'its number', deadLetterId)
    .requiredOption('--reason <text>', 'kept with it')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { id: number; reason: string }) => {
      const { skipDeadLetter } = await import('./relay-commands.ts');
      await skipDeadLetter(output, options);
    });
}
