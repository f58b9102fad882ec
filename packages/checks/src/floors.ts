import { parseArgs } from 'node:util';
import { checkFloors } from './floors/check-floors.ts';
import { floorPlan } from './floors/floor-plan.ts';
import { workspaceRoot } from './workspace.ts';

const help = `Who imports whom: every package only from floors below its own, only what it declares, only by its exports;
the apps together below ${floorPlan.appLinesMax} lines; no file over ${floorPlan.fileLinesMax}; the environment read in config.ts only.

Usage: pnpm floors [--json] [--help]

  --json   print the report as JSON`;

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});

if (flags.help) console.log(help);
else process.exitCode = floors();

function floors(): number {
  const report = checkFloors(workspaceRoot, floorPlan);
  const { packages, modules, references, appLines, violations } = report;
  if (flags.json) {
    console.log(JSON.stringify(report, null, 2));
    return violations.length === 0 ? 0 : 1;
  }
  for (const { rule, where, message } of violations) console.log(`${where}  ${rule}: ${message}`);
  console.log(
    `${packages} packages, ${modules} modules, ${references} imports; apps ${appLines} of ${floorPlan.appLinesMax} lines`,
  );
  console.log(violations.length === 0 ? 'Floors hold.' : `${violations.length} violations`);
  return violations.length === 0 ? 0 : 1;
}
