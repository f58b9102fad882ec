import type { Command } from 'commander';
import { common, databaseEnvironment } from './command-options.ts';
import { type DeciderOptions, deciderOptions, durationMs } from './dead-letter-options.ts';
import type { CommonOptions, Output } from './output.ts';

type Named = CommonOptions & { name: string };

/** `ordersctl consumer …` */
export function addConsumerCommands(program: Command, output: Output): void {
  const consumer = program.command('consumer').description('The consumers of the events');
  const named = (command: Command) =>
    common(command)
      .option('--name <consumer>', 'which', 'payment-worker')
      .addHelpText('after', databaseEnvironment);

  named(consumer.command('status'))
    .description('Show what is scheduled, dead, blocked and paused.')
    .action(async (options: Named) => {
      const { showStatus } = await import('./consumer-control.ts');
      await showStatus(output, options);
    });
  deciderOptions(named(consumer.command('pause')))
    .description('Have all its members handle nothing until `resume`; what they have in hand is finished.')
    .action(async (options: Named & DeciderOptions) => {
      const { pause } = await import('./consumer-control.ts');
      await pause(output, options);
    });
  deciderOptions(named(consumer.command('resume')))
    .description('Have its members go on.')
    .action(async (options: Named & DeciderOptions) => {
      const { resume } = await import('./consumer-control.ts');
      await resume(output, options);
    });
  deciderOptions(named(consumer.command('kill-switch')))
    .description(
      'Have the consumer go on where its kill switch stopped it: what fails becomes a dead letter.',
    )
    .option('--off-for <duration>', '30s, 10m or 2h from now', durationMs)
    .option('--on', 'switch it on again')
    .action(async (options: Named & DeciderOptions & { offFor?: number; on?: boolean }) => {
      const { setKillSwitch } = await import('./consumer-control.ts');
      await setKillSwitch(output, options);
    });
}
