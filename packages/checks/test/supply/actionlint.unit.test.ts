import { expect, test } from 'vitest';
import { ensureGoTool } from '../../src/go-tool.ts';
import { actionlintModule, lintWorkflows } from '../../src/supply/actionlint.ts';
import { listWorkflows } from '../../src/supply/workflows.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';

const workflow = `on: push
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - id: name
        run: echo "name=x" >> "$GITHUB_OUTPUT"
      - run: echo "$NAME"
        env:
          NAME: \${{ steps.name.outputs.name }}
`;

/** Building it takes the network and a while, once. */
const buildTimeoutMs = 300_000;

test("actionlint has nothing to say of the checkout's workflows, and finds what is wrong", {
  timeout: buildTimeoutMs,
}, async ({ skip }) => {
  const tool = await ensureGoTool(actionlintModule, console.log);
  if (tool.kind === 'missing') skip(tool.reason);
  else {
    expect(await lintWorkflows(tool.command, workspaceRoot, listWorkflows(workspaceRoot))).toEqual([]);
    const dir = scratchDir({
      'good.yml': workflow,
      'bad.yml': workflow.replace('steps.name', 'steps.nome').replace('ubuntu-24.04', 'ubuntu-4'),
    });
    expect(await lintWorkflows(tool.command, dir, ['good.yml'])).toEqual([]);
    const found = await lintWorkflows(tool.command, dir, ['bad.yml']);
    expect(found.map(({ rule, where }) => `${rule} ${where}`)).toEqual([
      'actionlint bad.yml:4',
      'actionlint bad.yml:10',
    ]);
    await expect(lintWorkflows(tool.command, dir, ['none.yml'])).rejects.toThrow('none.yml');
  }
});
