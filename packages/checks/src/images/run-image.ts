import { waitFor } from '@orders/dev-stack';
import { docker, runDocker } from './docker.ts';
import type { ImagePlan } from './image-plan.ts';
import type { ImageFinding } from './judge-image.ts';
import type { Servers } from './servers.ts';

/** From the start of the process until … */
export interface StartUp {
  /** … it answers that it lives, … */
  liveMs: number;
  /** … and that it is ready. */
  readyMs: number;
}

const startLimitMs = 60_000;
/** More than the services' own limit of a drain. */
const stopLimitS = 40;

/** Starts the image `starts` times and stops it; the median of its starts, and what was wrong. */
export async function runImage(plan: ImagePlan, image: string, servers: Servers, starts: number) {
  const findings: ImageFinding[] = [];
  const found = (rule: string, message: string) => findings.push({ image: plan.name, rule, message });
  const startUps: StartUp[] = [];
  if (plan.app !== undefined) await checkCommands(image, servers, found);
  for (let start = 1; start <= starts; start += 1) {
    const container = await startContainer(plan, image, servers);
    try {
      startUps.push(await measureStart(plan, container));
      if (start === starts) await checkRunning(plan, container, found);
    } catch (error) {
      found('start', `${(error as Error).message}\n${await logsOf(container)}`);
    }
    await checkStop(plan, container, found);
  }
  if (plan.app !== undefined) await checkCompileCache(image, found);
  return { findings, startUp: median(startUps) };
}

type Found = (rule: string, message: string) => void;

function startContainer(plan: ImagePlan, image: string, servers: Servers): Promise<string> {
  const volume = plan.app === undefined ? ['--volume', '/ledger'] : [];
  return servers.run(image, { options: ['--detach', '--publish', `127.0.0.1::${plan.port}`, ...volume] });
}

async function measureStart(plan: ImagePlan, container: string): Promise<StartUp> {
  const startedAt = Date.parse(await docker('inspect', '--format', '{{.State.StartedAt}}', container));
  const address = (await docker('port', container, String(plan.port))).split('\n')[0];
  const answers = (path: string) =>
    waitFor(
      `${path} of ${plan.name}`,
      async () => (await fetch(`http://${address}${path}`)).ok && Date.now() - startedAt,
      { timeoutMs: startLimitMs, intervalMs: 10 },
    );
  return { liveMs: await answers(plan.livePath), readyMs: await answers(plan.readyPath) };
}

/** One-shot commands, each in a container of its own. */
async function checkCommands(image: string, servers: Servers, found: Found): Promise<void> {
  for (const command of ['ordersctl migrate', 'ordersctl topics apply']) {
    const failed = await servers.run(image, { options: ['--rm'], command: command.split(' ') }).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (failed !== undefined) found('ordersctl', failed);
  }
}

/** In the running container, without a shell: the health check, and a command of the operators. */
async function checkRunning(plan: ImagePlan, container: string, found: Found): Promise<void> {
  const test = await docker('inspect', '--format', '{{json .Config.Healthcheck.Test}}', container);
  const execute = async (rule: string, command: readonly string[]) => {
    const { status, stdout, stderr } = await runDocker(['exec', container, ...command]);
    if (status !== 0) found(rule, `${command.join(' ')} ended with status ${status}: ${stdout}${stderr}`);
  };
  await execute('healthcheck', JSON.parse(test).slice(1));
  if (plan.app !== undefined) await execute('ordersctl', ['ordersctl', 'relay', 'status']);
}

/** SIGTERM reaches Node, which drains and ends with status 0. */
async function checkStop(plan: ImagePlan, container: string, found: Found): Promise<void> {
  await docker('stop', '--time', String(stopLimitS), container);
  const status = await docker('inspect', '--format', '{{.State.ExitCode}}', container);
  const logs = await logsOf(container);
  const message = judgeStop(plan, status, logs);
  if (message !== undefined) found('stop', message);
  await docker('rm', '--volumes', container);
}

/** A service says that it has stopped; the simulator has nothing to drain. Undefined when all is well. */
export function judgeStop(plan: ImagePlan, status: string, logs: string): string | undefined {
  const drained = plan.app === undefined || logs.includes('"msg":"stopped"');
  if (status === '0' && drained) return undefined;
  return `SIGTERM ended it with status ${status}${drained ? '' : ', and it did not say that it stopped'}:\n${logs}`;
}

async function logsOf(container: string): Promise<string> {
  const { stdout, stderr } = await runDocker(['logs', '--tail', '20', container]);
  return `${stdout}${stderr}`.trimEnd();
}

/** Everything that is loaded comes from the cache of compiled code, although the file system is read-only. */
async function checkCompileCache(image: string, found: Found): Promise<void> {
  const options = ['--rm', '--read-only', '--network=none', '--env', 'NODE_DEBUG_NATIVE=COMPILE_CACHE'];
  const { stdout, stderr } = await runDocker(['run', ...options, image]);
  for (const message of judgeCompileCache(`${stdout}${stderr}`)) found('compile-cache', message);
}

/** What Node says with NODE_DEBUG_NATIVE=COMPILE_CACHE: that something was taken from the cache, and all was there. */
export function judgeCompileCache(log: string): string[] {
  const lines = log.split('\n');
  const missed = lines.filter((line) => /reading cache from .* for /.test(line) && !line.includes('success'));
  const rejected = lines.filter((line) => /code cache for .* was rejected/.test(line));
  const none = lines.some((line) => /code cache for .* was accepted/.test(line))
    ? []
    : ['nothing was loaded from the cache of compiled code'];
  return [...none, ...missed, ...rejected];
}

function median(startUps: readonly StartUp[]): StartUp | undefined {
  return startUps.toSorted((one, other) => one.readyMs - other.readyMs)[Math.floor(startUps.length / 2)];
}
