import { spawn } from 'node:child_process';
import { type ServiceProcess, startService } from '@orders/dev-stack';

/** What a relay process is started with. */
export interface RelayProcessSettings {
  readonly postgresUrl: string;
  readonly kafkaBrokers: string[];
  readonly relay: {
    readonly relayId: string;
    readonly leaseDurationMs: number;
    readonly pollIntervalMs?: number;
    readonly batchSizeMax?: number;
    readonly backoffMaxMs?: number;
    readonly lowWaterIntervalMs?: number;
    readonly listen?: boolean;
  };
  /** Behind a transaction pooler, which refuses settings of the session. */
  readonly pooled?: boolean;
  /** How often it logs memory and counts; never unless given. */
  readonly reportIntervalMs?: number;
}

/** Relay processes, by the number of their place. */
export interface RelayFleet {
  readonly places: number;
  /** Starts the process of a place. */
  start(place: number): Promise<ServiceProcess>;
  /** The process of a place; undefined if it was never started or has been killed. */
  at(place: number): ServiceProcess | undefined;
  kill(place: number): Promise<void>;
  /** Lets all that still stand still go on, and ends all in order. */
  stop(): Promise<void>;
  /** How many processes ended that nobody had killed. */
  crashes(): number;
}

/** Name of a place's relays in `outbox_relays`, before what each start adds. */
export const relayIdOf = (place: number): string => `relay-${place}`;

const entry = new URL('./relay-process.ts', import.meta.url);

export function createRelayFleet(
  places: number,
  settings: Omit<RelayProcessSettings, 'relay'> & { relay: Omit<RelayProcessSettings['relay'], 'relayId'> },
): RelayFleet {
  const processes = new Map<number, ServiceProcess>();
  let crashes = 0;

  async function start(place: number): Promise<ServiceProcess> {
    const relayId = relayIdOf(place);
    const own: RelayProcessSettings = { ...settings, relay: { ...settings.relay, relayId } };
    const started = await startService({
      name: relayId,
      entry,
      args: [JSON.stringify(own)],
      graceMs: 20_000,
    });
    processes.set(place, started);
    endWithUs(started);
    void started.exited.then(() => {
      if (processes.get(place) === started) crashes += 1;
    });
    return started;
  }

  async function kill(place: number): Promise<void> {
    const killed = processes.get(place);
    processes.delete(place);
    await killed?.kill();
  }

  async function stop(): Promise<void> {
    const last = [...processes.values()];
    processes.clear();
    for (const { pid } of last) signal(pid, 'SIGCONT');
    await Promise.all(last.map((one) => one.stop()));
  }

  return { places, start, at: (place) => processes.get(place), kill, stop, crashes: () => crashes };
}

/**
 * A process that stands still cannot see that we have gone, and would be there for ever. So a shell waits for the end
 * of its standard input, which comes with our end however it comes, and ends the process then.
 */
function endWithUs({ pid, exited }: ServiceProcess): void {
  const watch = spawn('sh', ['-c', `read -r _; kill -KILL ${pid}`], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watch.stdin.on('error', () => undefined);
  watch.unref();
  void exited.then(() => watch.kill('SIGKILL'));
}

/** Tells a process, if it is still there. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
