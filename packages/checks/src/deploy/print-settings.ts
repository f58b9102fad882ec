import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { SettingsRead, SettingsRequest } from './read-settings.ts';

// Standard input is a list of SettingsRequest; prints a list with what each config.ts reads, or what it objects to.
const requests: SettingsRequest[] = JSON.parse(readFileSync(0, 'utf8'));
const dir = mkdtempSync(join(tmpdir(), 'orders-checks-'));
try {
  // What a NAME_FILE names is mounted in the container only; any certificate stands for it.
  const certificate = join(dir, 'ca.crt');
  writeFileSync(certificate, rootCertificates[0] ?? '');
  const read: SettingsRead[] = [];
  for (const { file, name, given } of requests) {
    for (const setting of Object.keys(process.env)) delete process.env[setting];
    for (const [setting, value] of Object.entries(given))
      process.env[setting] = setting.endsWith('_FILE') ? certificate : value;
    read.push(await settingsOf(file, name));
  }
  console.log(JSON.stringify(read));
} finally {
  rmSync(dir, { recursive: true, force: true });
}

async function settingsOf(file: string, name: string): Promise<SettingsRead> {
  try {
    const module = await import(file);
    return { settings: module[name](), problems: [] };
  } catch (error) {
    const { problems, message } = error as Error & { problems?: string[] };
    return { problems: problems ?? [message] };
  }
}
