import type { DevStackErrorCode } from './errors.ts';

/** What the daemon tells a client, one JSON object a line. */
export type DaemonMessage =
  | { type: 'log'; line: string }
  | { type: 'ready'; mode: 'docker' | 'embedded'; postgresUrl: string; kafkaBrokers: string[] }
  | { type: 'failed'; code: DevStackErrorCode; message: string };

/** The one thing a client may ask for, besides holding its connection open. */
export const stopRequest = 'stop\n';

/** Arguments of the daemon's process, as JSON in its first argument. */
export interface DaemonArguments {
  scope: string;
  mode: 'auto' | 'docker' | 'embedded';
  /** How long the stack outlives its last client, so that the next package's tests find it warm. */
  lingerMs: number;
}
