import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startService } from '@orders/dev-stack';
import { readReadme } from '@orders/dev-stack/readme';
import { createTestDatabase, testStack } from '@orders/dev-stack/testing';
import pg from 'pg';
import { openTestTopic } from './fixture.ts';

const readme = readReadme('packages/outbox');

/**
 * The README's snippets that are programs, word for word but for the addresses and the topic, which are those of the test.
 * @param dir a project with the tarball, kafkajs and pg
 */
export async function openFirstUse(dir: string) {
  const database = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  await pool.query('CREATE TABLE invoices (id text PRIMARY KEY, customer_id text NOT NULL)');
  const topic = await openTestTopic('invoices', { partitions: 3 });
  const here = {
    'postgres://localhost/invoicing': database.url,
    'localhost:9092': testStack().kafkaBrokers[0] ?? '',
    'invoices.events': topic,
  };

  /** Runs the snippet that holds `mark` as a program, and behind it `more`. */
  async function run(mark: string, more = '') {
    const snippet = readme.snippets.find((code) => code.includes(mark)) ?? '';
    const text = Object.entries(here).reduce(
      (code, [stated, real]) => code.replaceAll(stated, real),
      snippet + more,
    );
    const file = join(dir, `${mark.replaceAll(/\W/g, '')}.ts`);
    await writeFile(file, text);
    return startService({ name: mark, entry: pathToFileURL(file) });
  }

  return {
    topic,
    pool,
    /** Makes the tables. */
    migrate: () => run('client.query(outboxSql())').then((program) => program.exited),
    /** Writes an event, and relays it until it is stopped. */
    start: () => run('createKafkajsPublisher({ kafka })'),
    /** The test that an importer may write, of a change like that of the first use. */
    ownTest: () => run('testThatAnInvoiceIsTold', callOfOwnTest).then((program) => program.exited),
    async close() {
      await pool.end();
      await database.drop();
    },
  };
}

const callOfOwnTest = `
import { createOutbox } from '@orders/outbox';
import pg from 'pg';

const own = new pg.Pool({ connectionString: 'postgres://localhost/invoicing' });
await testThatAnInvoiceIsTold(own, async () => {
  const client = await own.connect();
  await client.query('BEGIN');
  await createOutbox().add(client, {
    topic: 'invoices.events',
    key: 'c-1',
    type: 'invoice.issued.v1',
    payload: { invoiceId: 'i-1', customerId: 'c-1' },
  });
  await client.query('COMMIT');
  client.release();
});
await own.end();
`;
