import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Scalar } from 'yaml';
import type { Finding } from '../finding.ts';

const settingsFile = 'pnpm-workspace.yaml';

/** Three days, in minutes: most malicious releases are found and withdrawn within hours. */
const releaseAgeMin = 3 * 24 * 60;

/** What must stand in pnpm-workspace.yaml, also where it is pnpm's default: a default may change with the next pnpm. */
const required: Readonly<Record<string, (value: unknown) => boolean>> = {
  minimumReleaseAge: (value) => typeof value === 'number' && value >= releaseAgeMin,
  minimumReleaseAgeStrict: (value) => value === true,
  trustPolicy: (value) => value === 'no-downgrade',
  blockExoticSubdeps: (value) => value === true,
  strictDepBuilds: (value) => value === true,
  preferFrozenLockfile: (value) => value === true,
};

/** What would switch one of them off. An audit's exceptions have a reason and an end, and stand in audit-exceptions.ts. */
const refused = [
  'trustLockfile',
  'dangerouslyAllowAllBuilds',
  'trustPolicyIgnoreAfter',
  'audit',
  'auditConfig',
];

const exclusions = ['minimumReleaseAgeExclude', 'trustPolicyExclude'];

/** Judges how dependencies are installed: by the settings of the checkout's pnpm-workspace.yaml. */
export function checkInstallSettings(root: string): Finding[] {
  return judgeInstallSettings(readFileSync(join(root, settingsFile), 'utf8'));
}

/** @param text of a pnpm-workspace.yaml */
export function judgeInstallSettings(text: string): Finding[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error) return [{ rule: 'syntax', where: settingsFile, message: error.message }];
  const settings = (document.toJS() ?? {}) as Record<string, unknown>;
  const findings: Finding[] = [];
  const found = (rule: string, where: string, message: string) => findings.push({ rule, where, message });

  for (const [name, holds] of Object.entries(required))
    if (!holds(settings[name]))
      found('setting', settingsFile, `${name} is ${JSON.stringify(settings[name]) ?? 'not set'}`);
  for (const name of refused)
    if (settings[name] !== undefined) found('setting', settingsFile, `${name} must not be set`);

  const { allowBuilds } = settings;
  if (allowBuilds === null || typeof allowBuilds !== 'object')
    found('setting', settingsFile, 'allowBuilds is not set: name the packages that may run a script');

  for (const name of exclusions) {
    const list = document.get(name);
    if (list === undefined) continue;
    const entries = isSeq(list) ? list.items.filter((item) => isScalar(item)) : [];
    if (entries.length === 0) found('exclusion', settingsFile, `${name} is no list of packages`);
    entries.forEach((entry, i) => {
      const where = `${settingsFile}:${lines.linePos(entry.range?.[0] ?? 0).line}`;
      if (!/^(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+[\w.+-]*$/.test(String(entry.value)))
        found('exclusion', where, `${entry.value}: exclude one version, name@1.2.3, not all to come`);
      if (!reasonOf(entry, i === 0 && isSeq(list) ? list.commentBefore : undefined))
        found('exclusion', where, `${entry.value}: say why in a comment above it or beside it`);
    });
  }
  if (!isMap(document.contents)) found('syntax', settingsFile, 'is no map of settings');
  return findings;
}

/** The first entry's comment above belongs to the list as the parser sees it. */
const reasonOf = (entry: Scalar, above: string | null | undefined): string =>
  `${entry.commentBefore ?? ''}${entry.comment ?? ''}${above ?? ''}`.trim();
