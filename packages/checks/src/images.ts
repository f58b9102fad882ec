import { parseArgs } from 'node:util';
import { DevStackError } from '@orders/dev-stack';
import { ChecksError } from './errors.ts';
import { buildImage, revisionOf } from './images/build-image.ts';
import { engineProblem } from './images/docker.ts';
import { placeFirstOrder } from './images/first-order.ts';
import { readImage } from './images/image-facts.ts';
import { type ImagePlan, planImages, productVersion } from './images/image-plan.ts';
import { type ImageFinding, judgeImage } from './images/judge-image.ts';
import { runImage, type StartUp } from './images/run-image.ts';
import { withServers } from './images/servers.ts';
import { abortOnSignals, interruptedStatus } from './interruption.ts';
import { workspaceRoot } from './workspace.ts';

const help = `Builds the images orders/order-api, orders/outbox-relay, orders/payment-worker and orders/gateway-simulator (for
development), looks into each and runs it: user, contents, labels, health check, ordersctl, read-only file system,
cache of compiled code, drain at SIGTERM. Tells size, and time from the start until it lives and is ready. Without --app it
also brings up infra/compose/compose.yaml, and sends the first order as its first lines say.

Usage: pnpm images [options]

  --app NAME           only this image; may be repeated
  --tag TAG            default: the version of package.json, and the commit; may be repeated
  --no-run             build and look, but run nothing
  --release            refuse uncommitted changes, and a base that is not named with its digest
  --build-base REF     base of the stage that installs, and
  --runtime-base REF   base of the image: others than the Dockerfiles name, name@sha256:… for a release
  --json               print the report as JSON on standard output; progress goes to standard error
  --help

Needs a Docker engine. Exit status 0 only if all is as it should be.`;

const options = {
  app: { type: 'string', multiple: true },
  tag: { type: 'string', multiple: true },
  'no-run': { type: 'boolean' },
  release: { type: 'boolean' },
  'build-base': { type: 'string' },
  'runtime-base': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface ImageReport {
  image: string;
  tags: readonly string[];
  sizeBytes: number;
  /** The median of three starts; absent with --no-run, or where none succeeded. */
  startUp?: StartUp | undefined;
  findings: ImageFinding[];
}

const startsPerImage = 3;
const flags = readFlags();
const say = flags.json ? console.error : console.log;
const signal = abortOnSignals();

if (flags.help) console.log(help);
else process.exitCode = await images();

function readFlags() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`);
    return process.exit(2);
  }
}

async function images(): Promise<number> {
  try {
    const reports = await buildAndJudge();
    const paidMs = flags['no-run'] || flags.app ? undefined : await firstOrder();
    if (flags.json) console.log(JSON.stringify({ images: reports, firstOrder: { paidMs } }, null, 2));
    else {
      for (const report of reports) tell(report);
      if (paidMs !== undefined) console.log(`compose.yaml: the first order PAID after ${seconds(paidMs)}`);
    }
    return reports.every(({ findings }) => findings.length === 0) ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return interruptedStatus;
    if (!(error instanceof ChecksError || error instanceof DevStackError)) throw error;
    console.error(error.message);
    return 1;
  }
}

async function buildAndJudge(): Promise<ImageReport[]> {
  const plans = selectPlans();
  const release = flags.release ?? false;
  if (release && !/@sha256:[0-9a-f]{64}$/.test(flags['build-base'] ?? ''))
    throw new ChecksError(
      'CHECKS_USAGE',
      'a release is built on bases named with their digests: --build-base',
    );
  const problem = await engineProblem();
  if (problem !== undefined) throw new ChecksError('CHECKS_TOOL_FAILED', `no image can be built: ${problem}`);
  const version = productVersion(workspaceRoot);
  const revision = await revisionOf(workspaceRoot);
  if (release && revision.endsWith('-dirty'))
    throw new ChecksError('CHECKS_USAGE', 'a release is built from a commit: commit your changes first');
  const tags = flags.tag ?? [version, revision];
  const reports: ImageReport[] = [];
  for (const plan of plans) {
    signal.throwIfAborted();
    say(`building orders/${plan.name}`);
    const bases = {
      ...(flags['build-base'] === undefined ? {} : { buildBase: flags['build-base'] }),
      ...(flags['runtime-base'] === undefined ? {} : { runtimeBase: flags['runtime-base'] }),
    };
    const image = await buildImage(plan, workspaceRoot, { version, revision, tags, ...bases });
    const facts = await readImage(image);
    const findings = judgeImage(plan, facts, { version, revision, release });
    reports.push({ image: `orders/${plan.name}`, tags, sizeBytes: facts.sizeBytes, findings });
  }
  if (!flags['no-run']) await runAll(plans, reports);
  return reports;
}

function selectPlans(): ImagePlan[] {
  const plans = planImages(workspaceRoot);
  const names = plans.map(({ name }) => name);
  const unknown = flags.app?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new ChecksError('CHECKS_USAGE', `there is no image ${unknown}; there are ${names.join(', ')}`);
  return plans.filter(({ name }) => flags.app?.includes(name) ?? true);
}

async function runAll(plans: readonly ImagePlan[], reports: readonly ImageReport[]): Promise<void> {
  say('starting PostgreSQL and Kafka');
  await withServers(async (servers) => {
    for (const [i, plan] of plans.entries()) {
      signal.throwIfAborted();
      const report = reports[i] as ImageReport;
      say(`running ${report.image}`);
      const { findings, startUp } = await runImage(
        plan,
        `${report.image}:${report.tags[0]}`,
        servers,
        startsPerImage,
      );
      report.findings.push(...findings);
      report.startUp = startUp;
    }
  });
}

function firstOrder(): Promise<number> {
  signal.throwIfAborted();
  say('bringing up infra/compose/compose.yaml and sending the first order');
  return placeFirstOrder();
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function tell({ image, tags, sizeBytes, startUp, findings }: ImageReport): void {
  const start = startUp
    ? `, lives after ${seconds(startUp.liveMs)}, ready after ${seconds(startUp.readyMs)}`
    : '';
  console.log(`${image} (${tags.join(', ')}): ${Math.round(sizeBytes / 1e6)} MB${start}`);
  for (const { rule, message } of findings) console.log(`  ${rule}: ${message}`);
}
