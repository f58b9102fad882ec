import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DevStackError } from './errors.ts';
import type { StackHost } from './stack-host.ts';
import { checkoutDir } from './state.ts';

const pom = join(checkoutDir, 'infra/kafka/pom.xml');

const javaVersionMin = 17;

const fetchTimeoutMs = 900_000;

/** Where the jars of this version of the pom are (or will be) kept, shared by all checkouts of this user. */
export function kafkaCacheDir(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const hash = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  return join(base, 'orders-dev-stack', `kafka-${hash}`);
}

/** The local Java and its version, or undefined when there is none of at least version 17. */
export function findJava(): { command: string; version: string } | undefined {
  const home = process.env.JAVA_HOME;
  for (const command of home ? [join(home, 'bin', 'java'), 'java'] : ['java']) {
    const { stderr } = spawnSync(command, ['-version'], { encoding: 'utf8' });
    const version = /version "([^"]+)"/.exec(stderr ?? '')?.[1];
    if (version && Number.parseInt(version, 10) >= javaVersionMin) return { command, version };
  }
  return undefined;
}

/** What is missing for Kafka on this machine, in words for the developer; empty when nothing is. */
export function missingForKafka(): string[] {
  const missing: string[] = [];
  if (!findJava()) missing.push(`Java ${javaVersionMin} or later (the command "java", or JAVA_HOME)`);
  if (!existsSync(join(kafkaCacheDir(), 'libs')) && spawnSync('mvn', ['--version']).error)
    missing.push('Maven (the command "mvn", to fetch Apache Kafka once)');
  return missing;
}

/** Fetches the jars with Maven unless they are there; returns the cache directory, with the jars in `libs`. */
export async function ensureKafkaJars(host: StackHost): Promise<string> {
  const cacheDir = kafkaCacheDir();
  if (existsSync(join(cacheDir, 'libs'))) return cacheDir;
  host.log('fetching Apache Kafka with Maven (once)');
  mkdirSync(join(cacheDir, '..'), { recursive: true });
  const building = mkdtempSync(`${cacheDir}.`);
  try {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime'];
    const target = `-DoutputDirectory=${join(building, 'libs')}`;
    const maven = spawn('mvn', ['-q', '-B', '-f', pom, ...goal, target], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: fetchTimeoutMs,
    });
    host.track('maven', maven);
    const output = await outputOf(maven);
    if (maven.exitCode !== 0)
      throw new DevStackError(
        'DEV_STACK_START_FAILED',
        `Maven could not fetch Kafka:\n${output.slice(-3_000)}`,
      );
    publish(building, cacheDir);
    return cacheDir;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** Moves a finished directory to its final name in one step; whoever is first wins, all have the same content. */
export function publish(building: string, final: string): void {
  try {
    renameSync(building, final);
  } catch (error) {
    if (!existsSync(final)) throw error;
  }
}

async function outputOf(child: ChildProcess): Promise<string> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += String(chunk)));
  await once(child, 'close');
  return output;
}
