import { connect, createServer, type Socket } from 'node:net';
import type { OutboxDatabase } from './fixture.ts';

/** PostgreSQL behind a proxy that can be cut. */
export async function cuttablePostgres(database: OutboxDatabase) {
  const { hostname, port } = new URL(database.url);
  const sockets = new Set<Socket>();
  const network = { down: false };
  const server = createServer((socket) => {
    if (network.down) {
      socket.destroy();
      return;
    }
    const upstream = connect({ host: hostname, port: Number(port) });
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        socket.destroy();
        upstream.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const url = new URL(database.url);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as { port: number }).port);
  return {
    pool: database.openPool({ connectionString: url.href, connectionTimeoutMillis: 1000 }),
    cut() {
      network.down = true;
      for (const socket of sockets) socket.destroy();
    },
    heal: () => (network.down = false),
    close: () => server.close(),
  };
}
