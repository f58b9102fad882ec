#!/usr/bin/env node
import { runCommandLine } from './program.ts';

// As the first process of a container it would not be ended by a signal that it does not handle.
process.once('SIGTERM', () => process.exit(143));
process.once('SIGINT', () => process.exit(130));

process.exitCode = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
