import pg from 'pg';
import { DbError } from './errors.ts';
import { types } from './types.ts';

/**
 * A client of pg's, with three faults mended: what others in the process tell pg about types does not change what it
 * reads; what it says of a database URL is put in words, without the URL; and a connection that fails is closed. pg leaves it open when it has no password to answer with, and until the server
 * loses patience (60 s) a program does not end and no database can be dropped.
 * @throws DbError `DB_URL_INVALID`; `connect` rejects with `DB_PASSWORD_MISSING`
 */
export function createClient(config: pg.ClientConfig): pg.Client {
  const client = readable(config);
  const connect = client.connect.bind(client);
  async function connectOrClose(): Promise<void> {
    try {
      await connect();
    } catch (error) {
      void client.end().catch(() => undefined);
      throw inWords(error as Error);
    }
  }
  // The pool passes a callback.
  client.connect = ((callback?: (error: Error | null) => void) => {
    if (callback === undefined) return connectOrClose();
    return void connectOrClose().then(() => callback(null), callback);
  }) as typeof client.connect;
  return client;
}

function readable(config: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client({ ...config, types });
  } catch (cause) {
    const { code, path } = cause as NodeJS.ErrnoException;
    const message =
      path === undefined
        ? 'the database URL cannot be read: special characters of user and password must be percent-encoded (/ is %2F)'
        : `the file ${path}, which the database URL names, cannot be read: ${code}`;
    throw new DbError('DB_URL_INVALID', message, { cause });
  }
}

function inWords(error: Error): Error {
  if (!error.message.includes('client password must be a string')) return error;
  const message = 'PostgreSQL asks for a password, and the database URL has none';
  return new DbError('DB_PASSWORD_MISSING', message, { cause: error });
}
