import type { ServiceRoles } from '@orders/db';
import { Command, CommanderError } from 'commander';
import {
  apiKeyId,
  common,
  databaseEnvironment,
  positiveInteger,
  topicsEnvironment,
} from './command-options.ts';
import { addConsumerCommands } from './consumer-program.ts';
import { addDeadLetterCommands } from './dead-letter-program.ts';
import { type CommonOptions, complain, type Output } from './output.ts';
import { addRelayCommands } from './relay-program.ts';

/** What the process ends with. */
export const exitStatus = { done: 0, failed: 1, usage: 2 } as const;

/**
 * Runs one command line, without the program's own name, and resolves to the status to end with. Never rejects.
 */
export async function runCommandLine(args: readonly string[], output: Output): Promise<number> {
  let given: CommonOptions = {};
  const program = createProgram(output, (options) => {
    given = options;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitStatus.done;
  } catch (error) {
    // Commander has printed its own complaint; --help ends this way, too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.done : exitStatus.usage;
    complain(output, given, error);
    return (error as { code?: string }).code === 'ORDERSCTL_USAGE' ? exitStatus.usage : exitStatus.failed;
  }
}

/** All commands. */
export function createProgram(output: Output, onOptions: (options: CommonOptions) => void): Command {
  const program = new Command('ordersctl');
  // Sub-commands inherit what is set first. What an action needs is loaded by it: help is quick, and `migrate`
  // needs no Kafka client.
  program
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .description('Operates the order system. Each command is configured by the environment.')
    .addHelpText('after', '\nExit status: 0 done, 1 failed, 2 wrong usage.')
    .hook('preAction', (_, command) => onOptions(command.opts()));

  common(program.command('migrate'))
    .description('Create or update all tables. May be run again, and by several processes at once.')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions) => {
      const { migrate } = await import('./database-commands.ts');
      await migrate(output, options);
    });

  const grants = program.command('grants').description('Database roles of the services');
  common(grants.command('apply'))
    .description('Give each service’s role what it needs; for the owner of the tables, after each `migrate`.')
    .option('--api <role>', 'role of order-api', 'order_api')
    .option('--relay <role>', 'role of outbox-relay', 'outbox_relay')
    .option('--worker <role>', 'role of payment-worker', 'payment_worker')
    .option('--outbox-owner <role>', 'role that owns the outbox’s tables', 'outbox_owner')
    .option('--exact', 'also take away what else they have: when all three services run this release')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & ServiceRoles & { exact?: boolean }) => {
      const { applyServiceGrants } = await import('./grants-command.ts');
      await applyServiceGrants(output, options);
    });

  const topics = program.command('topics').description('Kafka topics');
  common(topics.command('apply'))
    .description('Create the declared topics that do not exist yet. An existing topic is never changed.')
    .option(
      '--replication-factor <n>',
      'copies of each partition (default: TOPICS_REPLICATION_FACTOR, else the broker’s default)',
      positiveInteger,
    )
    .addHelpText('after', topicsEnvironment)
    .action(async (options: CommonOptions & { replicationFactor?: number }) => {
      const { applyDeclaredTopics } = await import('./topics-command.ts');
      await applyDeclaredTopics(output, options);
    });

  const keys = program.command('keys').description('API keys');
  common(keys.command('create'))
    .description('Create an API key for a tenant and print it, this once.')
    .requiredOption('--tenant <id>', 'whose key it is')
    .requiredOption('--name <text>', 'what tells it apart from the tenant’s other keys')
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { tenant: string; name: string }) => {
      const { createKey } = await import('./database-commands.ts');
      await createKey(output, options);
    });

  common(keys.command('revoke'))
    .description('Revoke an API key. May be run again.')
    .requiredOption('--id <id>', 'its id, as `keys create` has shown', apiKeyId)
    .addHelpText('after', databaseEnvironment)
    .action(async (options: CommonOptions & { id: string }) => {
      const { revokeKey } = await import('./database-commands.ts');
      await revokeKey(output, options);
    });

  addRelayCommands(program, output);
  addConsumerCommands(program, output);
  addDeadLetterCommands(program, output);
  return program;
}
