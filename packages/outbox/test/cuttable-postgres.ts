import { connect, createServer, type Socket } from 'node:net';
import type pg from 'pg';
import type { OutboxDatabase } from './fixture.ts';

/** PostgreSQL behind a proxy that can be cut, or fall silent: no answer, no error, and what it swallowed never comes. */
export async function cuttablePostgres(database: OutboxDatabase, more: pg.PoolConfig = {}) {
  const { hostname, port } = new URL(database.url);
  const sockets = new Set<Socket>();
  const network = { down: false, silent: false };
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
        sockets.delete(one);
        socket.destroy();
        upstream.destroy();
      });
    }
    if (!network.silent) socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const url = new URL(database.url);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as { port: number }).port);
  return {
    pool: database.openPool({ connectionString: url.href, connectionTimeoutMillis: 1000, ...more }),
    cut() {
      network.down = true;
      for (const socket of sockets) socket.destroy();
    },
    /** @returns how many connections fell silent, for good */
    mute() {
      network.silent = true;
      for (const socket of sockets) socket.unpipe().pause();
      return sockets.size / 2;
    },
    /** For new connections. */
    heal() {
      network.down = false;
      network.silent = false;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
