import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ChecksError } from './errors.ts';
import { listApps, makeSbom } from './supply/sbom.ts';
import { workspaceRoot } from './workspace.ts';

const help = `Writes a bill of materials (CycloneDX) for each app's image, and compares each with the lockfile.

Usage: pnpm sboms --out DIR [--version VERSION] [--json] [--help]

  --out DIR          the folder for <app>.cdx.json
  --version VERSION  of the image; default: the version of its package.json
  --json             print files and numbers of components as JSON

It names the npm packages of the app and of ordersctl. What the base image brings is in the SBOM that the image's
builder attaches.`;

process.exitCode = await sboms();

async function sboms(): Promise<number> {
  const { values: flags } = parseArgs({
    options: {
      out: { type: 'string' },
      version: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (flags.help || flags.out === undefined) {
    (flags.help ? console.log : console.error)(help);
    return flags.help ? 0 : 1;
  }
  const out = resolve(flags.out);
  mkdirSync(out, { recursive: true });
  const written: { app: string; file: string; components: number }[] = [];
  try {
    for (const app of listApps(workspaceRoot)) {
      const sbom = await makeSbom(workspaceRoot, app, flags.version);
      const file = join(out, `${basename(app.folder)}.cdx.json`);
      writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`);
      written.push({ app: app.name, file, components: sbom.components.length });
    }
  } catch (error) {
    if (!(error instanceof ChecksError)) throw error;
    console.error(error.message);
    return 1;
  }
  if (flags.json) console.log(JSON.stringify(written, null, 2));
  else
    for (const { app, file, components } of written) console.log(`${app}: ${components} components, ${file}`);
  return 0;
}
