// Fills NODE_COMPILE_CACHE while an image is built: loads an app and every command of ordersctl without any setting.
// Each then loads all that it needs, says what is missing and ends; one that ends otherwise fails the build.
import { spawnSync } from 'node:child_process';

const commandLines = [
  [process.argv[2]],
  ['ordersctl', 'migrate'],
  ['ordersctl', 'grants', 'apply'],
  ['ordersctl', 'topics', 'apply'],
  ['ordersctl', 'keys', 'create', '--tenant', 't', '--name', 'n'],
  ['ordersctl', 'relay', 'status'],
  ['ordersctl', 'relay', 'dead-letters'],
  ['ordersctl', 'consumer', 'status'],
  ['ordersctl', 'dead-letters', 'list'],
  ['ordersctl', 'dead-letters', 'replay', '--id', '1', '--reason', 'r'],
  ['packages/service-runtime/src/healthcheck/main.ts', 'PORT'],
];

for (const line of commandLines) {
  const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' });
  if (status === 1 && /(DATABASE_URL|KAFKA_BROKERS|PORT) is missing/.test(stdout + stderr)) continue;
  console.error(`node ${line.join(' ')} ended with status ${status}:\n${stdout}${stderr}`);
  process.exit(1);
}
