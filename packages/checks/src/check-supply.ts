import { parseArgs } from 'node:util';
import { ChecksError } from './errors.ts';
import type { Finding } from './finding.ts';
import { askAudit, auditLevel, judgeAudit } from './supply/audit.ts';
import { auditExceptions } from './supply/audit-exceptions.ts';
import { checkInstallSettings } from './supply/install-settings.ts';
import { checkLockfile } from './supply/lockfile.ts';
import { checkPublished } from './supply/published.ts';
import { checkWorkflows } from './supply/workflows.ts';
import { workspaceRoot } from './workspace.ts';

const help = `The supply chain: how dependencies are installed, whether the lockfile fits and keeps to that, what GitHub's workflows
may do, what would be published, and whether a dependency that ships has a known vulnerability of level ${auditLevel} or above.

Usage: pnpm check:supply [--offline] [--json] [--help]

  --offline  leave the audit out
  --json     print the report as JSON

Exit status: 0 all holds; 1 something does not; 77 all that could be looked at holds, but the registry did not answer
the audit, or --offline left it out. A line "skipped: …" says why.`;

const skippedStatus = 77;

const { values: flags } = parseArgs({
  options: {
    offline: { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

if (flags.help) console.log(help);
else
  process.exitCode = await checkSupply().catch((error) => {
    if (!(error instanceof ChecksError)) throw error;
    console.error(error.message);
    return 1;
  });

async function checkSupply(): Promise<number> {
  const findings: Finding[] = [
    ...checkInstallSettings(workspaceRoot),
    ...(await checkLockfile(workspaceRoot)),
    ...checkWorkflows(workspaceRoot),
    ...checkPublished(workspaceRoot),
  ];
  const answer = flags.offline
    ? { kind: 'unanswered' as const, reason: 'left out, as --offline says' }
    : await askAudit(workspaceRoot);
  const today = new Date().toISOString().slice(0, 10);
  if (answer.kind === 'answered') findings.push(...judgeAudit(answer.advisories, auditExceptions, today));
  const skipped = answer.kind === 'unanswered' ? `audit: ${answer.reason}` : undefined;
  if (flags.json) console.log(JSON.stringify({ findings, skipped, exceptions: auditExceptions }, null, 2));
  else tell(findings, skipped);
  if (findings.length > 0) return 1;
  return skipped === undefined ? 0 : skippedStatus;
}

function tell(findings: readonly Finding[], skipped: string | undefined): void {
  for (const { rule, where, message } of findings) console.log(`${where}  ${rule}: ${message}`);
  for (const { advisory, package: name, reason, expires } of auditExceptions)
    console.log(`let pass until ${expires}: ${advisory} of ${name}: ${reason}`);
  if (findings.length > 0) console.log(`${findings.length} findings`);
  else if (skipped !== undefined)
    console.log('Install settings, lockfile, workflows and what is published hold.');
  else
    console.log(
      'Install settings, lockfile, workflows and what is published hold; no known vulnerability in what ships.',
    );
  if (skipped !== undefined) console.log(`skipped: ${skipped}`);
}
