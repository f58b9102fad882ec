import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Installs a package of Debian unless the file is there.
 * @returns why not, in words; undefined when it is there
 */
export async function installed(
  name: string,
  file: string,
  log: (line: string) => void,
): Promise<string | undefined> {
  if (existsSync(file)) return undefined;
  if (userInfo().uid !== 0) return `${file} is missing, and only root may install ${name}`;
  if (!existsSync('/etc/debian_version'))
    return `${file} is missing, and this is no Debian to install ${name} on`;
  log(`installing ${name}`);
  try {
    await run('apt-get', ['update', '-q']);
    // Only the files: a server that the package starts by itself would be in the way.
    await run('apt-get', ['install', '-qy', '--no-install-recommends', name], {
      env: { PATH: systemPath, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
  } catch (error) {
    return `${name} could not be installed: ${(error as Error).message.split('\n')[0]}`;
  }
  return existsSync(file) ? undefined : `${name} is installed, but there is no ${file}`;
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
