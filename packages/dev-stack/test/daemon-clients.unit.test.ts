import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Clients, listenForClients } from '../src/daemon-clients.ts';
import { type ClientMessage, type DaemonMessage, receive, send } from '../src/protocol.ts';

const long = 600_000;
const onEnd = vi.fn<(why: string) => void>();
let scratch = '';
let clients: Clients;
beforeEach(async () => {
  onEnd.mockClear();
  scratch = await mkdtemp(join(tmpdir(), 'orders-clients-'));
  clients = await listenForClients(join(scratch, 'socket'), onEnd);
});
afterEach(async () => {
  clients.close();
  await rm(scratch, { recursive: true, force: true });
});

/** A connection that holds the stack, known to the daemon's side. */
async function hold(lingerMs: number) {
  const socket = connect(join(scratch, 'socket'));
  const heard: DaemonMessage[] = [];
  receive<DaemonMessage>(socket, (message) => heard.push(message));
  tell(socket, { type: 'hold', lingerMs });
  // Whatever is said is heard by those who are known.
  while (heard.at(-1)?.type !== 'log') {
    clients.say({ type: 'log', line: 'hello' });
    await new Promise(setImmediate);
  }
  return { socket, heard };
}

const tell = (socket: Socket, message: ClientMessage) => send(socket, message);
const reasons = () => onEnd.mock.calls.map(([why]) => why);

test('the stack ends at once when its last client is killed, however long it wanted to linger', async () => {
  const [one, two] = [await hold(long), await hold(long)];
  one.socket.destroy();
  await new Promise(setImmediate);
  expect(reasons()).toEqual([]);
  two.socket.destroy();
  await expect.poll(reasons).toEqual(['no client left']);
});

test('after an orderly release it lingers, and a client that comes meanwhile keeps it', async () => {
  const one = await hold(long);
  tell(one.socket, { type: 'release' });
  await once(one.socket, 'close');
  expect(reasons()).toEqual([]);
  const two = await hold(1);
  tell(two.socket, { type: 'release' });
  await expect.poll(reasons).toEqual(['no client left']);
});

test('one who releases a stack that ends is let go only when it has ended', async () => {
  const { socket } = await hold(0);
  tell(socket, { type: 'release' });
  await expect.poll(reasons).toEqual(['no client left']);
  clients.close();
  await new Promise(setImmediate);
  expect(socket.readyState).toBe('open');
  socket.destroy();
});

test('who comes late hears everything said before; a failed stack does not linger', async () => {
  const early = await hold(long);
  const failed: DaemonMessage = { type: 'failed', code: 'DEV_STACK_IMPOSSIBLE', message: 'no' };
  clients.say(failed);
  const late = connect(join(scratch, 'socket'));
  const heard: DaemonMessage[] = [];
  receive<DaemonMessage>(late, (message) => heard.push(message));
  await expect.poll(() => heard.at(-1)).toEqual(failed);
  late.destroy();
  tell(early.socket, { type: 'release' });
  await expect.poll(reasons).toEqual(['no client left']);
  early.socket.destroy();
});

test('a client may ask to stop it, whoever else holds it; they learn that it ends', async () => {
  const [one, two] = [await hold(long), await hold(long)];
  tell(two.socket, { type: 'stop' });
  await expect.poll(reasons).toEqual(['asked to stop']);
  clients.close();
  await Promise.all([one, two].map(({ socket }) => once(socket, 'close')));
  expect(reasons()).toEqual(['asked to stop']);
});
