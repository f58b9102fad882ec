import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type ClientMessage, type DaemonMessage, receive, send } from './protocol.ts';

/** Who started the daemon connects at once; if it was killed meanwhile, the daemon does not wait longer for it. */
const firstClientWaitMs = 10_000;

/** The daemon's side of all connections. */
export interface Clients {
  /** Tells every client, and later ones when they come. */
  say(message: DaemonMessage): void;
  /** No more clients; whoever is connected learns that the stack ends. */
  close(): void;
}

/**
 * Listens on the stack's socket. `onEnd` is called with the reason when the last client is gone or one asks to stop.
 * The stack outlives its last client by that one's linger time if it released the stack in order; if it was killed
 * or interrupted, the kernel closes its connection, and nobody is to find servers left behind.
 */
export async function listenForClients(socketPath: string, onEnd: (why: string) => void): Promise<Clients> {
  const lingerMsOf = new Map<Socket, number>();
  const said: DaemonMessage[] = [];
  let idle = setTimeout(onEnd, firstClientWaitMs, 'nobody came');
  let closed = false;

  /** Returns whether the stack ends now. */
  const leave = (client: Socket, lingerMs: number): boolean => {
    if (!lingerMsOf.delete(client) || lingerMsOf.size > 0 || closed) return false;
    if (lingerMs === 0) onEnd('no client left');
    else idle = setTimeout(onEnd, lingerMs, 'no client left');
    return lingerMs === 0;
  };
  const release = (client: Socket) => {
    const failed = said.at(-1)?.type === 'failed'; // then there is nothing to be found warm
    const ends = leave(client, failed ? 0 : (lingerMsOf.get(client) ?? 0));
    if (!ends) client.end(); // else our exit closes it, when all is gone
  };
  const take = (client: Socket, message: ClientMessage) => {
    if (message.type === 'hold') lingerMsOf.set(client, message.lingerMs);
    if (message.type === 'release') release(client);
    if (message.type === 'stop') onEnd('asked to stop');
  };
  const server = createServer((client) => {
    if (closed) return void client.destroy();
    clearTimeout(idle);
    lingerMsOf.set(client, 0);
    client.on('error', () => undefined); // 'close' follows
    client.on('close', () => leave(client, 0));
    receive<ClientMessage>(client, (message) => take(client, message));
    for (const message of said) send(client, message);
  });
  server.listen(socketPath);
  await once(server, 'listening');

  return {
    say(message) {
      said.push(message);
      for (const client of lingerMsOf.keys()) send(client, message);
    },
    close() {
      closed = true;
      clearTimeout(idle);
      server.close();
      for (const client of lingerMsOf.keys()) client.end();
    },
  };
}
