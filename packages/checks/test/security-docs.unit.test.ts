import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { workspaceRoot } from '../src/workspace.ts';

interface Acl {
  resource: { type: string; name: string };
  operations: string[];
}

const read = (file: string): string => readFileSync(join(workspaceRoot, file), 'utf8');

test('docs/security.md shows the ACLs of infra/k8s/examples/kafka-users.yaml', () => {
  let principal = '';
  const [, chapter = ''] = read('docs/security.md').split('\n## Kafka\n');
  const shown = [...chapter.matchAll(/^\| (`([\w-]+)`.*)? ?\| (.*) \| ([A-Z]\w+(?:, \w+)*) \|$/gm)].map(
    ([, , name, on = '', may]) => {
      principal = name ?? principal;
      return `${principal}: ${on.replaceAll('`', '')}: ${may}`;
    },
  );
  const users = parseAllDocuments(read('infra/k8s/examples/kafka-users.yaml')).map((user) => user.toJS());
  const declared = users.flatMap(({ metadata, spec }) =>
    spec.authorization.acls.map(
      ({ resource, operations }: Acl) =>
        `${metadata.name}: ${resource.type} ${resource.name}: ${operations.join(', ')}`,
    ),
  );
  expect(declared.length).toBeGreaterThan(3);
  expect(shown).toEqual(declared);
});
