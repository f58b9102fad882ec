import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inTransaction } from '../src/index.ts';
import { orderRow, useDatabase } from './databases.ts';

const { url, open } = useDatabase();

let network: Awaited<ReturnType<typeof startNetwork>>;
beforeAll(async () => {
  network = await startNetwork(url());
});
afterEach(() => network.heal());
afterAll(() => network.close());

// One connection: whatever state it is left in, the next query meets it.
const openHere = () => open({ url: network.url, poolMax: 1, statementTimeoutMs: 300, answerMarginMs: 100 });
const noAnswer = { message: 'Query read timeout' };

describe('a connection whose answer does not come', () => {
  it('is not given to the next query when the network has swallowed a query', async () => {
    const { db } = openHere();
    const select = db.selectFrom('orders').select('id').where('id', '=', crypto.randomUUID());
    await select.execute();
    network.swallow('requests');
    await expect(select.execute()).rejects.toMatchObject(noAnswer);
    expect(await select.execute()).toEqual([]);
  });

  it('is not given to the next query when BEGIN was answered too late: what that query writes stands', async () => {
    const { db } = openHere();
    await db.selectFrom('orders').select('id').limit(1).execute();
    network.swallow('answers');
    await expect(inTransaction(db, async () => 'never')).rejects.toMatchObject(noAnswer);
    network.heal();
    const order = orderRow();
    await db.insertInto('orders').values(order).execute();
    const seenByOthers = open().db.selectFrom('orders').select('id').where('id', '=', order.id);
    expect(await seenByOthers.execute()).toEqual([{ id: order.id }]);
  });

  it('is closed at once: neither the transaction nor its rollback waits for it once more', async () => {
    const { db } = openHere();
    const errors: unknown[] = [];
    const lost = inTransaction(db, async (tx) => {
      network.swallow('requests');
      for (const _ of [1, 2]) {
        await tx
          .selectFrom('orders')
          .select('id')
          .execute()
          .catch((error: Error) => errors.push(error.message));
      }
    });
    await expect(lost).rejects.toMatchObject({ code: 'DB_COMMIT_UNKNOWN' });
    expect(errors).toEqual([noAnswer.message, 'Client was closed and is not queryable']);
  });
});

/** A way to the database that can swallow what is sent on it, without closing anything. */
async function startNetwork(databaseUrl: string) {
  const target = new URL(databaseUrl);
  const pairs: { client: Socket; server: Socket }[] = [];
  const proxy = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    client.pipe(server).pipe(client);
    for (const socket of [client, server]) socket.on('error', () => socket.destroy());
    client.on('close', () => server.destroy());
    pairs.push({ client, server });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const through = new URL(databaseUrl);
  through.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  return {
    url: through.href,
    /** Of the connections that there are; new ones are not concerned. */
    swallow(what: 'requests' | 'answers') {
      for (const { client, server } of pairs) {
        if (what === 'requests') client.unpipe(server).pause();
        else server.unpipe(client).pause();
      }
    },
    /** What was swallowed arrives. */
    heal() {
      for (const { client, server } of pairs) {
        client.unpipe(server).pipe(server);
        server.unpipe(client).pipe(client);
      }
    },
    async close() {
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      proxy.close();
      await once(proxy, 'close');
    },
  };
}
