import { createTestDatabase } from '@orders/dev-stack/testing';
import { afterAll, beforeAll } from 'vitest';
import { createDatabase, type DatabaseHandle, type DatabaseOptions, migrateAll } from '../src/index.ts';

/** The migrated database of one test file, and handles on it that are closed at its end. */
export function useDatabase() {
  let testDatabase: Awaited<ReturnType<typeof createTestDatabase>> | undefined;
  const handles: DatabaseHandle[] = [];
  beforeAll(async () => {
    testDatabase = await createTestDatabase({
      template: 'orders',
      migrate: async (url) => {
        await migrateAll(url);
      },
    });
  });
  afterAll(async () => {
    await Promise.all(handles.map((handle) => handle.close()));
    await testDatabase?.drop();
  });
  const url = () => (testDatabase as { url: string }).url;
  const open = (options: Partial<DatabaseOptions> = {}): DatabaseHandle => {
    const handle = createDatabase({ url: url(), ...options });
    handles.push(handle);
    return handle;
  };
  return { url, open };
}

/** An empty database. */
export const createEmptyDatabase = () => createTestDatabase({ template: 'empty', migrate: async () => {} });

/** An order as a row, for tests that only need one to exist. */
export const orderRow = (id: string = crypto.randomUUID()) =>
  ({
    id,
    tenant_id: 'acme',
    customer_id: 'c-1',
    state: 'CREATED',
    currency: 'EUR',
    total_minor: 500,
    items: '[]',
    payment_method: 'tok_visa',
    correlation_id: 'req-1',
  }) as const;
