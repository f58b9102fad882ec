import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';

// Prints what a config.ts reads from this process's environment, or what it objects to.
// node print-settings.ts FILE EXPORT
const [file = '', name = ''] = process.argv.slice(2);
const dir = mkdtempSync(join(tmpdir(), 'orders-checks-'));
try {
  // What a NAME_FILE names is mounted in the container only; any certificate stands for it.
  const certificate = join(dir, 'ca.crt');
  writeFileSync(certificate, rootCertificates[0] ?? '');
  for (const setting of Object.keys(process.env))
    if (setting.endsWith('_FILE')) process.env[setting] = certificate;
  const module = await import(file);
  console.log(JSON.stringify({ settings: module[name]() }));
} catch (error) {
  const { problems, message } = error as Error & { problems?: string[] };
  console.log(JSON.stringify({ problems: problems ?? [message] }));
} finally {
  rmSync(dir, { recursive: true, force: true });
}
