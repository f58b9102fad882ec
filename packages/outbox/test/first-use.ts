import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startService } from '@orders/dev-stack';
import { createTestDatabase, testStack } from '@orders/dev-stack/testing';
import pg from 'pg';
import { openTestTopic } from './fixture.ts';
import { readme, snippetsOf } from './readme.ts';

/**
 * The README's first two snippets, word for word but for the addresses and the topic, which are those of the test.
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

  /** Runs a snippet as a program. */
  async function run(snippet: number) {
    const text = Object.entries(here).reduce(
      (code, [stated, real]) => code.replaceAll(stated, real),
      snippetsOf(readme)[snippet] ?? '',
    );
    const file = join(dir, `first-use-${snippet}.ts`);
    await writeFile(file, text);
    return startService({ name: `snippet ${snippet}`, entry: pathToFileURL(file) });
  }

  return {
    topic,
    pool,
    /** Makes the tables. */
    migrate: () => run(1).then((program) => program.exited),
    /** Writes an event, and relays it until it is stopped. */
    start: () => run(0),
    async close() {
      await pool.end();
      await database.drop();
    },
  };
}
