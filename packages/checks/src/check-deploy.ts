import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkDeploy, type DeployReport } from './deploy/check.ts';
import { ensureHelm } from './deploy/helm.ts';
import { workspaceRoot } from './workspace.ts';

const help = `What is deployed: the chart and the values of every app for every environment are linted and rendered; infra/k8s
holds what they make; every object is valid for Kubernetes 1.31 and 1.37 and for the operators, by schemas that are
held here; and the pods are as they must be: not root, limited, probed, isolated, with settings that their app accepts.

Usage: pnpm check:deploy [--write] [--json] [--root DIR] [--help]

  --write     make infra/k8s what helm renders, then check
  --json      print the report as JSON
  --root DIR  another checkout than this one

Exit status: 0 all holds; 1 something does not; 77 helm is not installed and cannot be built, so nothing was checked:
the line "skipped: …" says why. helm is built once, with Go, and kept in the user's cache.`;

const skippedStatus = 77;

const { values: flags } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    json: { type: 'boolean' },
    root: { type: 'string', default: workspaceRoot },
    help: { type: 'boolean', short: 'h' },
  },
});

if (flags.help) console.log(help);
else process.exitCode = await main();

async function main(): Promise<number> {
  const helm = await ensureHelm((line) => console.error(line));
  if (helm.kind === 'missing') {
    console.log(flags.json ? JSON.stringify({ skipped: helm.reason }) : `skipped: ${helm.reason}`);
    return skippedStatus;
  }
  const report = await checkDeploy(resolve(flags.root), helm.command, flags.write);
  if (flags.json) console.log(JSON.stringify(report, null, 2));
  else tell(report);
  return report.findings.length > 0 ? 1 : 0;
}

function tell({ findings, releases, environments, objects }: DeployReport): void {
  for (const { rule, where, message } of findings) console.log(`${where}  ${rule}: ${message}`);
  const what = `${releases} releases, ${objects} objects in ${environments.join(' and ')} and the examples`;
  console.log(findings.length > 0 ? `${findings.length} findings in ${what}` : `${what}: all hold.`);
}
