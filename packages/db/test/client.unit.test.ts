import { expect, it } from 'vitest';
import { createClient } from '../src/client.ts';
import { createDatabase, migrateAll } from '../src/index.ts';

it.each(['hunter2/', 'hunter2#', 'hunter2?', '%zz/hunter2'])(
  'a URL that cannot be read is refused at once, in words, and not shown: password %s',
  async (password) => {
    const url = `postgres://app:${password}@db/orders`;
    const refusal = { code: 'DB_URL_INVALID', message: expect.not.stringContaining('hunter2') };
    expect(() => createDatabase({ url })).toThrow(expect.objectContaining(refusal));
    await expect(migrateAll(url)).rejects.toMatchObject(refusal);
  },
);

it.each([
  ['a@b', 'a@b'],
  ['a:b', 'a:b'],
  ['a%2Fb', 'a/b'],
])('the password %s of a URL is %s', (written, meant) => {
  expect(createClient({ connectionString: `postgres://app:${written}@db/orders` }).password).toBe(meant);
});
