import type { Socket } from 'node:net';
import type { DevStackErrorCode } from './errors.ts';
import type { WantedMode } from './state.ts';

/** What the daemon tells its clients. */
export type DaemonMessage =
  | { type: 'log'; line: string }
  | { type: 'ready'; mode: 'docker' | 'embedded'; postgresUrl: string; kafkaBrokers: string[] }
  | { type: 'failed'; code: DevStackErrorCode; message: string };

/**
 * What a client tells the daemon. The connection itself is what holds the stack; `hold` adds how long the stack
 * outlives an orderly release by this client if it is the last one. After `release` the daemon hangs up: at once,
 * or, where that ends the stack, when everything has ended.
 */
export type ClientMessage = { type: 'hold'; lingerMs: number } | { type: 'release' } | { type: 'stop' };

/** Arguments of the daemon's process, as JSON in its first argument. */
export interface DaemonArguments {
  scope: string;
  mode: WantedMode;
}

/** Sends one message, as a line of JSON. */
export function send(socket: Socket, message: DaemonMessage | ClientMessage): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** Calls `take` for every message that arrives. */
export function receive<M extends DaemonMessage | ClientMessage>(
  socket: Socket,
  take: (message: M) => void,
): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(JSON.parse(line) as M);
  });
}
