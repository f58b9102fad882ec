import type { ImageFacts } from './image-facts.ts';
import type { AppPlan, ImagePlan } from './image-plan.ts';

/** Something that is wrong with an image. */
export interface ImageFinding {
  image: string;
  rule: string;
  message: string;
}

/** Told by whoever builds: a release is from a commit, on bases that nobody can exchange. */
export interface Expectations {
  version: string;
  revision: string;
  release: boolean;
}

type Found = (rule: string, message: string) => void;

/** The image's own user: not root, and not a number that the cache of compiled code was not made for. */
const user = '65532:65532';

/** Compares what an image is with what it should be; empty when it is so. */
export function judgeImage(plan: ImagePlan, facts: ImageFacts, expected: Expectations): ImageFinding[] {
  const findings: ImageFinding[] = [];
  const found: Found = (rule, message) => findings.push({ image: plan.name, rule, message });
  judgeProcess(plan, facts, found);
  judgeLabels(plan, facts, expected, found);
  judgeTools(facts, found);
  if (plan.app !== undefined) judgeContents(plan.app, facts, found);
  return findings;
}

function judgeProcess(plan: ImagePlan, facts: ImageFacts, found: Found): void {
  const expect = (rule: string, what: string, is: unknown, should: unknown) => {
    const [one, other] = [JSON.stringify(is), JSON.stringify(should)];
    if (one !== other) found(rule, `${what} is ${one}, not ${other}`);
  };
  expect('user', 'the user', facts.user, user);
  // Anything else is wrapped in a shell, which is not there and would not pass SIGTERM on.
  expect('command', 'the entry point', facts.entrypoint, plan.entrypoint);
  expect('command', 'the command', facts.command, plan.command);
  expect('command', 'the stop signal', facts.stopSignal, 'SIGTERM');
  const [form, program] = facts.healthcheck;
  if (form !== 'CMD' || program !== plan.entrypoint[0])
    found('healthcheck', `the health check must be run by ${plan.entrypoint[0]}, without a shell`);
  if (plan.app === undefined) return;
  expect('command', 'the working directory', facts.workingDir, '/app');
  const { portSetting } = plan.app;
  expect('healthcheck', 'the last word of the health check', facts.healthcheck.at(-1), portSetting);
  expect('port', portSetting, facts.environment[portSetting], String(plan.port));
  if (facts.environment.PATH?.split(':')[0] !== '/app' || !facts.files.includes('app/ordersctl'))
    found('ordersctl', 'ordersctl must lie in /app, which must come first on PATH');
}

const labelPrefix = 'org.opencontainers.image.';

function judgeLabels(plan: ImagePlan, facts: ImageFacts, expected: Expectations, found: Found): void {
  const label = (name: string) => facts.labels[labelPrefix + name] ?? '';
  const { version, revision, release } = expected;
  for (const [name, should] of Object.entries({
    title: plan.name,
    licenses: 'Apache-2.0',
    version,
    revision,
  }))
    if (label(name) !== should) found('labels', `${name} is "${label(name)}", not "${should}"`);
  if (Number.isNaN(Date.parse(label('created'))))
    found('labels', `created is "${label('created')}", not a time`);
  if (plan.app === undefined) return;
  if (label('source') === '' || (release && !label('source').startsWith('https://')))
    found('labels', `source is "${label('source')}", not where the source is`);
  if (release && !/@sha256:[0-9a-f]{64}$/.test(label('base.name')))
    found('base', `a release names its base with a digest, not ${label('base.name') || 'not at all'}`);
}

const tool =
  /^(usr\/)?(local\/)?s?bin\/(sh|bash|dash|ash|busybox|apt|apt-get|dpkg|apk|npm|npx|pnpm|yarn|corepack)$/;

function judgeTools(facts: ImageFacts, found: Found): void {
  for (const file of facts.files) if (tool.test(file)) found('tools', `/${file} is in it`);
}

/** What belongs to our development, by path below /app and outside node_modules. */
const development =
  /(^|\/)(tests?|fixtures|guards|helm)\/|\.test\.ts$|(^|\/)src\/testing[./]|(^|\/)(Dockerfile|\.env|\.npmrc|\.git)(\/|$)/;

function judgeContents(app: AppPlan, facts: ImageFacts, found: Found): void {
  const folders = new Set<string>();
  const packages = new Set<string>();
  const foreign: string[] = [];
  for (const file of facts.files) {
    if (!file.startsWith('app/')) continue;
    const path = file.slice('app/'.length);
    const folder = /^((?:apps|packages)\/[^/]+)\//.exec(path)?.[1];
    if (folder !== undefined) folders.add(folder);
    const installed = /^node_modules\/\.pnpm\/([^/]+)\//.exec(path)?.[1];
    if (installed !== undefined && installed !== 'node_modules') packages.add(packageOf(installed));
    if (!/(^|\/)node_modules\//.test(path) && development.test(path)) foreign.push(path);
  }
  for (const path of foreign) found('development', `/app/${path} is in it`);
  compare('packages', app.folders, folders, found);
  compare('dependencies', app.packages, packages, found);
}

function compare(rule: string, should: ReadonlySet<string>, is: ReadonlySet<string>, found: Found): void {
  for (const one of should) if (!is.has(one)) found(rule, `${one} is missing`);
  for (const one of is) if (!should.has(one)) found(rule, `${one} is in it and not needed`);
}

/** `@scope+name@1.0.0_peer@2.0.0`, pnpm's name of a folder, is @scope/name@1.0.0. */
function packageOf(folder: string): string {
  const [, scope, nameAndVersion = folder] = /^(?:(@[^+]+)\+)?([^@]+@[^_]+)/.exec(folder) ?? [];
  return scope === undefined ? nameAndVersion : `${scope}/${nameAndVersion}`;
}
