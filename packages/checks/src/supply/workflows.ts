import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isScalar, LineCounter, type Pair, parseDocument, type Scalar, visit } from 'yaml';
import type { Finding } from '../finding.ts';

/** What is granted beyond reading: workflow → job → scopes that it may write. */
export type WriteGrants = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** Jobs that may write something. Everything else reads; a new grant is added here, where a reviewer sees it. */
export const writeGrants: WriteGrants = {
  'release.yml': {
    version: ['contents', 'pull-requests'],
    publish: ['contents', 'id-token'],
    images: ['packages', 'id-token', 'attestations'],
  },
};

/** Others run with the repository's secrets on code or words of a stranger (`pull_request_target`, `issue_comment`). */
const harmlessTriggers = ['push', 'pull_request', 'merge_group', 'schedule', 'workflow_dispatch'];

interface Workflow {
  on?: unknown;
  permissions?: unknown;
  jobs?: Readonly<Record<string, Job>>;
}

interface Job {
  permissions?: unknown;
  'timeout-minutes'?: unknown;
  steps?: readonly Step[];
}

interface Step {
  uses?: string;
  run?: string;
  with?: Readonly<Record<string, unknown>>;
}

/** From the root. */
export const listWorkflows = (root: string): string[] =>
  globSync('.github/workflows/*.{yml,yaml}', { cwd: root }).toSorted();

/** Judges every workflow of the checkout. Seeing none is a finding: a check that sees nothing must not hold. */
export function checkWorkflows(root: string, grants: WriteGrants = writeGrants): Finding[] {
  const files = listWorkflows(root);
  if (files.length === 0)
    return [{ rule: 'nothing-seen', where: '.github/workflows', message: 'has no workflow' }];
  return files.flatMap((file) => checkWorkflow(file, readFileSync(join(root, file), 'utf8'), grants));
}

/**
 * Judges one workflow.
 * @param file its path from the root
 */
export function checkWorkflow(file: string, text: string, grants: WriteGrants = writeGrants): Finding[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error) return [{ rule: 'syntax', where: file, message: error.message }];
  const findings: Finding[] = [];
  const found = (rule: string, where: string, message: string) => findings.push({ rule, where, message });
  const at = ({ range }: Scalar) => `${file}:${lines.linePos(range?.[0] ?? 0).line}`;

  visit(document, {
    Pair(_, pair) {
      const { key, value } = pair as Pair;
      if (!isScalar(key) || !isScalar(value)) return;
      if (key.value === 'uses' && !isPinned(value))
        found('pinned', at(value), `${value.value}: name 40 hex digits of a commit, then "# v1.2.3"`);
      if ((key.value === 'run' || key.value === 'script') && String(value.value).includes('${{'))
        found('expression', at(value), 'an expression in a script may be a script: hand it over in env');
    },
  });
  judgeWorkflow(document.toJS() as Workflow, file, grants[file.split('/').at(-1) ?? ''] ?? {}, found);
  return findings;
}

/** A tag may be moved to other code, a commit not; the comment says which version it is, and Dependabot raises both. */
function isPinned({ value, comment }: Scalar): boolean {
  if (String(value).startsWith('./')) return true;
  return /^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(String(value)) && /^ v\d+\.\d+\.\d+$/.test(comment ?? '');
}

/** A dependency of ours could sign whatever it likes in such a job. */
const runsWorkspace = /\bnpx\b|\bpnpm (?!install\b.*--ignore-scripts)/;

type Found = (rule: string, where: string, message: string) => void;

function judgeWorkflow(workflow: Workflow, file: string, grants: WriteGrants[string], found: Found): void {
  for (const trigger of triggersOf(workflow.on))
    if (!harmlessTriggers.includes(trigger))
      found('trigger', file, `runs on ${trigger}: only ${harmlessTriggers.join(', ')}`);
  if (writesOf(workflow.permissions).length > 0)
    found(
      'permissions',
      file,
      'state top-level permissions that only read; a job asks for more where it must',
    );
  for (const [name, job] of Object.entries(workflow.jobs ?? {})) {
    const where = `${file} ${name}`;
    if (typeof job['timeout-minutes'] !== 'number')
      found('timeout', where, 'state timeout-minutes: a job that hangs is ended after six hours otherwise');
    const writes = job.permissions === undefined ? [] : writesOf(job.permissions);
    for (const scope of writes.filter((one) => !grants[name]?.includes(one)))
      found('grant', where, `writes ${scope}, which writeGrants of the checks does not allow it`);
    if (writes.length > 0 && triggersOf(workflow.on).includes('pull_request'))
      found(
        'grant',
        where,
        'writes something, and runs on pull requests: what nobody has reviewed must only read',
      );
    if (writes.includes('id-token'))
      for (const { run = '' } of job.steps ?? [])
        if (runsWorkspace.test(run))
          found(
            'signing',
            where,
            'signs, and runs what the workspace installs: let a job without rights do that',
          );
    for (const step of job.steps ?? [])
      if (step.uses?.startsWith('actions/checkout@') && step.with?.['persist-credentials'] !== false)
        found('checkout', where, 'set persist-credentials: false, or every later step can read the token');
  }
}

function triggersOf(on: unknown): string[] {
  if (typeof on === 'string') return [on];
  if (Array.isArray(on)) return on.map(String);
  return on !== null && typeof on === 'object' ? Object.keys(on) : ['nothing'];
}

/** The scopes that may be written; `*` where that cannot be said, as without permissions or with `write-all`. */
function writesOf(permissions: unknown): string[] {
  if (permissions === null || typeof permissions !== 'object') return permissions === 'read-all' ? [] : ['*'];
  return Object.entries(permissions)
    .filter(([, access]) => access !== 'read' && access !== 'none')
    .map(([scope]) => scope);
}
