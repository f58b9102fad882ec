import { get } from 'node:http';
import { readPort } from './config.ts';

// HEALTHCHECK of the images, which have neither shell nor curl: asks /livez on the port that the named setting holds.
// Exit status 0 when it answers 200.
const limitMs = 2_000;
const [setting = 'PROBE_PORT'] = process.argv.slice(2);

try {
  const port = readPort(setting);
  const status = await statusOf(`http://127.0.0.1:${port}/livez`);
  if (status !== 200) throw new Error(`/livez on port ${port} answered ${status}`);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { signal: AbortSignal.timeout(limitMs), agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}
