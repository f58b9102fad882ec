import { parseArgs } from 'node:util';
import { ChecksError } from './errors.ts';
import type { Finding } from './finding.ts';
import { ensureGoTool } from './go-tool.ts';
import { actionlintModule, lintWorkflows } from './supply/actionlint.ts';
import { askAudit, auditLevel, judgeAudit } from './supply/audit.ts';
import { auditExceptions } from './supply/audit-exceptions.ts';
import { checkInstallSettings } from './supply/install-settings.ts';
import { checkLockfile } from './supply/lockfile.ts';
import { checkPublished } from './supply/published.ts';
import { checkWorkflows, listWorkflows } from './supply/workflows.ts';
import { workspaceRoot } from './workspace.ts';

const help = `The supply chain: how dependencies are installed, whether the lockfile fits and keeps to that, what GitHub's workflows
may do, what would be published, and whether a dependency that ships has a known vulnerability of level ${auditLevel} or above.

Usage: pnpm check:supply [--offline] [--json] [--help]

  --offline  leave out the audit and actionlint, which is built with Go once
  --json     print the report as JSON

Exit status: 0 all holds; 1 something does not; 77 all that could be looked at holds, but the audit was not answered, or
actionlint cannot be had here: the line "skipped: …" says why. On GitHub, where both can be had, that is 1.`;

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

/** What was found, and what could not be looked at, and why. */
interface Part {
  findings: readonly Finding[];
  skipped?: string;
}

async function checkSupply(): Promise<number> {
  const parts: Part[] = [
    { findings: checkInstallSettings(workspaceRoot) },
    { findings: await checkLockfile(workspaceRoot) },
    { findings: checkWorkflows(workspaceRoot) },
    { findings: checkPublished(workspaceRoot) },
    flags.offline ? leftOut('actionlint') : await actionlint(),
    flags.offline ? leftOut('audit') : await audit(),
  ];
  const findings = parts.flatMap((part) => part.findings);
  const skipped = parts.flatMap((part) => part.skipped ?? []);
  if (flags.json) console.log(JSON.stringify({ findings, skipped, exceptions: auditExceptions }, null, 2));
  else tell(findings, skipped);
  if (findings.length > 0) return 1;
  if (skipped.length === 0) return 0;
  return process.env.GITHUB_ACTIONS === 'true' ? 1 : skippedStatus;
}

function leftOut(name: string): Part {
  return { findings: [], skipped: `${name}: left out by --offline` };
}

async function actionlint(): Promise<Part> {
  const tool = await ensureGoTool(actionlintModule, (line) => console.error(line));
  if (tool.kind === 'missing') return { findings: [], skipped: `actionlint: ${tool.reason}` };
  return { findings: await lintWorkflows(tool.command, workspaceRoot, listWorkflows(workspaceRoot)) };
}

async function audit(): Promise<Part> {
  const answer = await askAudit(workspaceRoot);
  if (answer.kind === 'unanswered') return { findings: [], skipped: `audit: ${answer.reason}` };
  const today = new Date().toISOString().slice(0, 10);
  return { findings: judgeAudit(answer.advisories, auditExceptions, today) };
}

function tell(findings: readonly Finding[], skipped: readonly string[]): void {
  for (const { rule, where, message } of findings) console.log(`${where}  ${rule}: ${message}`);
  for (const { advisory, package: name, reason, expires } of auditExceptions)
    console.log(`let pass until ${expires}: ${advisory} of ${name}: ${reason}`);
  if (findings.length > 0) console.log(`${findings.length} findings`);
  else console.log(skipped.length === 0 ? 'All of it holds.' : 'All that could be looked at holds.');
  if (skipped.length > 0) console.log(`skipped: ${skipped.join('; ')}`);
}
