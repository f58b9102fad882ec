import type { Migration } from 'kysely/migration';
import { ordersAndPayments } from './0001-orders-and-payments.ts';

/** The product's migrations. A new one sorts after all others: it is applied after them everywhere. */
export const productMigrations: Readonly<Record<string, Migration>> = {
  '0001-orders-and-payments': ordersAndPayments,
};

/**
 * What this program is written for: the number of the last product migration it knows. It is refused by a schema
 * whose `min_app_schema` is higher.
 */
export const appSchema = 1;
