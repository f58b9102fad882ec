import type { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgram } from '../src/program.ts';
import { commands } from './commands.ts';
import { run } from './run.ts';

beforeEach(() => {
  vi.stubEnv('DATABASE_URL', undefined);
  vi.stubEnv('KAFKA_BROKERS', undefined);
});
afterEach(() => vi.unstubAllEnvs());

/** Every command that does something, as it is typed. */
const leaves = (command: Command, path: readonly string[] = []): string[] =>
  command.commands.length === 0
    ? [path.join(' ')]
    : command.commands.flatMap((one) => leaves(one, [...path, one.name()]));

describe('the command line', () => {
  it('has no command that these tests do not know', () => {
    const program = createProgram({ out: () => undefined, err: () => undefined }, () => undefined);
    const known = commands.map(({ args }) =>
      args.slice(0, args.findIndex((arg) => arg.startsWith('-')) + 1 || undefined),
    );
    const typed = known.map((args) => args.filter((arg) => !arg.startsWith('-')).join(' '));
    expect(leaves(program).toSorted()).toEqual(typed.toSorted());
  });

  it.each(commands)('$args explains itself: --help', async ({ args, variables }) => {
    const { status, out, err } = await run(...args, '--help');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    for (const word of ['Usage: ordersctl', '--json', '--verbose', ...variables]) expect(out).toContain(word);
  });

  it.each(commands)('$args says in one line which variables are missing', async ({ args, variables }) => {
    const { status, out, err } = await run(...args);
    expect({ status, out }).toEqual({ status: 1, out: '' });
    const problems = variables.map((name) => `${name} is missing`).join('; ');
    expect(err).toBe(`error: invalid configuration: ${problems} (RUNTIME_CONFIG_INVALID)\n`);
  });

  it.each([
    { args: [], complaint: /Usage: ordersctl/ },
    { args: ['migarte'], complaint: /unknown command 'migarte'/ },
    { args: ['migrate', '--jason'], complaint: /unknown option '--jason'/ },
    { args: ['keys', 'create', '--name', 'till'], complaint: /'--tenant <id>' not specified/ },
    { args: ['topics', 'apply', '--replication-factor', '0'], complaint: /must be a positive integer/ },
    { args: ['dead-letters', 'show', '--id', 'x'], complaint: /must be an id from `dead-letters list`/ },
    { args: ['dead-letters', 'list', '--from', 'monday'], complaint: /must be a time like/ },
    { args: ['dead-letters', 'list', '--state', 'lost'], complaint: /Allowed choices are dead/ },
    { args: ['dead-letters', 'discard', '--id', '1'], complaint: /say --reason: .*ORDERSCTL_USAGE/ },
    { args: ['dead-letters', 'replay', '--reason', 'r'], complaint: /say --id, or --of and which/ },
    { args: ['dead-letters', 'replay', '--of', 'w', '--reason', 'r'], complaint: /say which, or --all/ },
    {
      args: ['dead-letters', 'replay', '--id', '1', '--key', 'k', '--reason', 'r'],
      complaint: /say nothing else/,
    },
    { args: ['dead-letters', 'jobs', 'resume', '--id', '0'], complaint: /must be a number from/ },
    { args: ['consumer', 'pause'], complaint: /say --reason/ },
    { args: ['consumer', 'kill-switch', '--reason', 'r'], complaint: /say either --off-for or --on/ },
    { args: ['consumer', 'kill-switch', '--off-for', '10'], complaint: /must be a duration like/ },
  ])('$args is wrong usage: status 2, and what is wrong', async ({ args, complaint }) => {
    const { status, out, err } = await run(...args);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(complaint);
  });

  it.each(['', 'a:b', 'a b', 'ä', '-a', 'x'.repeat(64)])(
    'a key is not created for tenant %j, which no Kafka key or log line should carry',
    async (tenant) => {
      const { status, err } = await run('keys', 'create', `--tenant=${tenant}`, '--name=till');
      expect(status).toBe(2);
      expect(err).toMatch(/^error: a tenant is .*\(ORDERSCTL_USAGE\)\n$/);
    },
  );

  it('puts an error in JSON with --json, and shows its stack with --verbose', async () => {
    const { err: json } = await run('migrate', '--json');
    expect(JSON.parse(json)).toEqual({
      error: { code: 'RUNTIME_CONFIG_INVALID', message: expect.stringContaining('DATABASE_URL is missing') },
    });
    const { err: verbose } = await run('migrate', '--verbose');
    expect(verbose).toMatch(/^error: .*\nConfigError: .*\n\s+at /);
  });
});
