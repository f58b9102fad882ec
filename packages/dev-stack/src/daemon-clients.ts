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
 * Listens on the stack's socket. `onEnd` is called with the reason when no client is left (and the last one's
 * linger time is over) or one asks to stop. A killed client counts as gone: the kernel closes its connection.
 */
export async function listenForClients(socketPath: string, onEnd: (why: string) => void): Promise<Clients> {
  const lingerMsOf = new Map<Socket, number>();
  const said: DaemonMessage[] = [];
  let idle = setTimeout(onEnd, firstClientWaitMs, 'nobody came');
  let closed = false;

  const leave = (client: Socket) => {
    const failed = said.at(-1)?.type === 'failed'; // then nobody wants to find it warm
    const lingerMs = failed ? 0 : lingerMsOf.get(client);
    if (!lingerMsOf.delete(client) || lingerMsOf.size > 0 || closed) return;
    if (lingerMs) idle = setTimeout(onEnd, lingerMs, 'no client left');
    else onEnd('no client left');
  };
  const take = (client: Socket, message: ClientMessage) => {
    if (message.type === 'stop') return onEnd('asked to stop');
    if (message.type === 'hold') return void lingerMsOf.set(client, message.lingerMs);
    const last = lingerMsOf.size === 1 && !lingerMsOf.get(client);
    leave(client);
    if (!last) client.end(); // else our exit closes it, when all is gone
  };
  const server = createServer((client) => {
    if (closed) return void client.destroy();
    clearTimeout(idle);
    lingerMsOf.set(client, 0);
    client.on('error', () => undefined); // 'close' follows
    client.on('close', () => leave(client));
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
