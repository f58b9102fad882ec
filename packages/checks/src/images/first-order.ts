import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '@orders/dev-stack';
import { ChecksError } from '../errors.ts';
import { runCommand } from '../run.ts';
import { workspaceRoot } from '../workspace.ts';

const composeFile = 'infra/compose/compose.yaml';

/** The commands that the first lines of compose.yaml tell its users, in their order. */
export function commandsToldBy(text: string): { up: string; key: string; order: string; look: string } {
  const [up, key, order, look] = [...text.matchAll(/^# {3}(\S.*)$/gm)].map(([, command]) => command);
  if (up === undefined || key === undefined || order === undefined || look === undefined)
    throw new ChecksError('CHECKS_USAGE', `${composeFile} does not begin with its four commands`);
  return { up, key, order, look };
}

/**
 * Does word for word what the first lines of compose.yaml say, in a project of its own and on another port, and removes
 * it all.
 * @returns milliseconds from sending the order until it was seen PAID
 * @throws ChecksError with what a command said, and the logs
 */
export async function placeFirstOrder(): Promise<number> {
  const told = commandsToldBy(readFileSync(join(workspaceRoot, composeFile), 'utf8'));
  const project = { COMPOSE_PROJECT_NAME: `orders-first-order-${process.pid}`, ORDERS_PORT: '0' };
  const compose = `docker compose -f ${composeFile}`;
  const shell = (script: string, more: Readonly<Record<string, string>> = {}) =>
    runShell(script, { ...project, ...more });
  try {
    await shell(told.up);
    const address = (await shell(`${compose} port order-api 3000`)).trim();
    const here = (command: string) => command.replace('localhost:3000', address);
    const API_KEY = await shell(`${told.key}\nprintf %s "$API_KEY"`);
    const sentAt = performance.now();
    const placed = await shell(here(told.order), { API_KEY });
    const { id } = JSON.parse(placed) as { id?: string };
    if (id === undefined) throw new ChecksError('CHECKS_TOOL_FAILED', `the order was not taken: ${placed}`);
    const look = here(told.look).replace('ID-FROM-THE-ANSWER', id);
    await waitFor(
      `order ${id} to be PAID`,
      async () => JSON.parse(await shell(look, { API_KEY })).state === 'PAID',
    );
    return performance.now() - sentAt;
  } catch (error) {
    const logs = await shell(`${compose} logs --no-color --tail 20`).catch(() => '');
    const message = `the first order of ${composeFile}: ${(error as Error).message}\n${logs}`;
    throw new ChecksError('CHECKS_TOOL_FAILED', message);
  } finally {
    await shell(`${compose} down --volumes`);
  }
}

async function runShell(script: string, environment: Readonly<Record<string, string>>): Promise<string> {
  const { status, stdout, stderr } = await runCommand('sh', ['-c', script], {
    cwd: workspaceRoot,
    environment,
  });
  if (status === 0) return stdout;
  throw new ChecksError('CHECKS_TOOL_FAILED', `${script} ended with status ${status}:\n${stdout}${stderr}`);
}
