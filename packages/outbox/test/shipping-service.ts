import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { freePort, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { createTestDatabase, testStack, uniqueName } from '@orders/dev-stack/testing';
import pg from 'pg';
import { readTopic } from './fixture.ts';
import { mustRun } from './packed.ts';

const askAgainMs = 50;
const asksMax = 1_000;

/**
 * The example as an importer has it, with a database and a topic of its own.
 * @param dir its folder, outside the repository, installed
 */
export async function openShippingService(dir: string) {
  const database = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  const topic = uniqueName('shipments');
  const port = await freePort();
  const env = {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: testStack().kafkaBrokers.join(','),
    SHIPMENTS_TOPIC: topic,
    PORT: String(port),
  };
  const run = (entry: string) =>
    startService({ name: entry, entry: pathToFileURL(join(dir, 'src', entry)), env });
  let running: ServiceProcess | undefined;

  return {
    dir,
    topic,
    pool,
    typecheck: () => mustRun(dir, join(dir, 'node_modules/.bin/tsc'), '-p', '.'),

    /** Runs the job that comes before the service, and returns its exit status. */
    async setUp(): Promise<number | null> {
      const job = await run('setup.ts');
      const { code } = await job.exited;
      if (code !== 0) throw new Error(`setup ended with ${code}: ${JSON.stringify(job.logs)}`);
      return code;
    },

    /** Starts it, and waits until it answers. */
    async start(): Promise<ServiceProcess> {
      const service = await run('main.ts');
      running = service;
      await waitFor('the shipping service', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
      return service;
    },

    /** Asks until there is an answer, as a careful client does: a lost answer may have been a success. */
    async ask(method: string, path: string, body?: object): Promise<unknown> {
      for (let asked = 1; ; asked += 1) {
        try {
          const options = { method, ...(body && { body: JSON.stringify(body) }) };
          const response = await fetch(`http://127.0.0.1:${port}${path}`, options);
          if (response.ok) return await response.json();
          throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
        } catch (error) {
          if (asked === asksMax) throw error;
          await sleep(askAgainMs);
        }
      }
    },

    /** Ids of the events of each shipment, in the order of its life, which their types' names happen to have. */
    async written(): Promise<Map<string, string[]>> {
      const { rows } = await pool.query('SELECT id, type, aggregateid FROM outbox ORDER BY type');
      const events = rows as { id: string; type: string; aggregateid: string }[];
      const ofShipment = Map.groupBy(events, (event) => event.aggregateid);
      return new Map([...ofShipment].map(([shipment, own]) => [shipment, own.map((event) => event.id)]));
    },

    /** Ids of the events on the topic, one list for each partition, in order. */
    async read(): Promise<string[][]> {
      const ofPartition = Map.groupBy(await readTopic(topic), (record) => record.partition);
      return [...ofPartition.values()].map((records) => records.map((record) => record.headers.id ?? ''));
    },

    async unpublished(): Promise<number> {
      const { rows } = await pool.query('SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL');
      return rows[0].n;
    },

    /** Lets a change of this shipment wait for its row, and ends all connections of the database meanwhile. */
    async cutOff(shipment: string, change: () => Promise<unknown>): Promise<unknown> {
      const holder = await pool.connect();
      await holder.query('BEGIN');
      await holder.query('SELECT FROM shipments WHERE id = $1 FOR UPDATE', [shipment]);
      const changed = change();
      await waitFor('a change that waits for the row', async () => {
        const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        return (await holder.query(waiting)).rowCount;
      });
      await holder.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()`);
      await holder.query('COMMIT');
      holder.release();
      return changed;
    },

    stop: () => running?.stop(),

    async close() {
      await running?.kill();
      await pool.end();
      await database.drop();
    },
  };
}
