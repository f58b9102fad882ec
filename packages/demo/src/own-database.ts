import pg from 'pg';

/** Creates an empty database on the server and returns its URL. */
export async function createOwnDatabase(postgresUrl: string, name: string): Promise<string> {
  await asAdmin(postgresUrl, (client) => client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`));
  const url = new URL(postgresUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Drops it, ending whatever is still connected. */
export async function dropOwnDatabase(postgresUrl: string, name: string): Promise<void> {
  await asAdmin(postgresUrl, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`),
  );
}

async function asAdmin(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
