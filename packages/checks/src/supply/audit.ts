import { ChecksError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import type { AuditException } from './audit-exceptions.ts';
import { inOneLine, runPnpm } from './pnpm.ts';

/** From here on an advisory fails the audit; lower ones are shown by `pnpm audit`. */
export const auditLevel = 'high';

const exceptionDaysMax = 90;
const dayMs = 24 * 60 * 60 * 1000;

/** One known vulnerability of one installed package. */
export interface Advisory {
  github_advisory_id: string;
  module_name: string;
  severity: string;
  title: string;
  patched_versions: string | null;
  findings: readonly { version: string; paths: readonly string[] }[];
}

export type AuditAnswer =
  | { kind: 'answered'; advisories: readonly Advisory[] }
  /** The registry could not be asked, or does not know the question: nothing is known, neither good nor bad. */
  | { kind: 'unanswered'; reason: string };

/**
 * Asks the registry for the known vulnerabilities of what a project installs, without what it only develops with.
 * @param dir a project with a pnpm-lock.yaml
 * @param settings for pnpm, such as `--registry`
 */
export async function askAudit(dir: string, settings: readonly string[] = []): Promise<AuditAnswer> {
  const { status, stdout, stderr } = await runPnpm(
    dir,
    ['audit', '--json', '--prod', '--audit-level', auditLevel, ...settings],
    {
      PNPM_CONFIG_FETCH_RETRIES: '1',
      PNPM_CONFIG_FETCH_RETRY_MINTIMEOUT: '1000',
      PNPM_CONFIG_FETCH_TIMEOUT: '20000',
    },
  );
  return readAudit(status, stdout, stderr);
}

/** What `pnpm audit --json` said. It exits with 1 for a vulnerability and for every other trouble. */
export function readAudit(status: number, stdout: string, stderr: string): AuditAnswer {
  const output = `${stdout}\n${stderr}`;
  if (/ERR_PNPM_AUDIT_(BAD_RESPONSE|ENDPOINT_NOT_EXISTS)/.test(output))
    return { kind: 'unanswered', reason: `the registry did not answer it: ${inOneLine(output)}` };
  const list = advisoriesOf(stdout);
  if (list === undefined || status !== (list.length === 0 ? 0 : 1))
    throw new ChecksError('CHECKS_TOOL_FAILED', `pnpm audit ended with ${status}:\n${output.trim()}`);
  return { kind: 'answered', advisories: list };
}

/** Undefined when it is no report. */
function advisoriesOf(stdout: string): Advisory[] | undefined {
  try {
    const { advisories } = JSON.parse(stdout);
    return advisories && Object.values(advisories);
  } catch {
    return undefined;
  }
}

/**
 * Judges an answer by the exceptions.
 * @param today YYYY-MM-DD
 */
export function judgeAudit(
  advisories: readonly Advisory[],
  exceptions: readonly AuditException[],
  today: string,
): Finding[] {
  const where = 'pnpm-lock.yaml';
  const excepts = (exception: AuditException, { github_advisory_id, module_name }: Advisory) =>
    exception.advisory === github_advisory_id && exception.package === module_name;
  const vulnerable = advisories
    .filter((advisory) => !exceptions.some((one) => excepts(one, advisory)))
    .map((advisory) => ({ rule: 'vulnerable', where, message: describe(advisory) }));
  const stale = exceptions.flatMap((exception) => {
    const name = `the exception for ${exception.advisory} of ${exception.package}`;
    const trouble = troubleOf(exception, today);
    if (trouble) return [{ rule: 'exception', where: name, message: trouble }];
    if (advisories.some((advisory) => excepts(exception, advisory))) return [];
    return [{ rule: 'exception', where: name, message: 'nothing asks for it any more: delete it' }];
  });
  return [...vulnerable, ...stale];
}

function troubleOf({ reason, expires }: AuditException, today: string): string | undefined {
  if (reason.trim() === '') return 'has no reason';
  if (!/^\d{4}-\d\d-\d\d$/.test(expires) || Number.isNaN(Date.parse(expires)))
    return `ends on no day: ${expires}`;
  if (expires < today) return `ended on ${expires}: update the package, or judge it anew`;
  if (Date.parse(expires) - Date.parse(today) > exceptionDaysMax * dayMs)
    return `ends on ${expires}: more than ${exceptionDaysMax} days are no exception but a habit`;
  return undefined;
}

function describe({
  github_advisory_id,
  module_name,
  severity,
  title,
  patched_versions,
  findings,
}: Advisory) {
  const versions = findings.map(({ version }) => version).join(', ');
  const path = findings[0]?.paths[0] ?? '';
  const cure = patched_versions ? `update to ${patched_versions}` : 'no release mends it yet';
  return `${module_name} ${versions} (${path}): ${severity}, ${title}, ${github_advisory_id}; ${cure}`;
}
