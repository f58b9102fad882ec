import { userInfo } from 'node:os';
import type { DatabaseHandle } from '@orders/db';

/** Who runs the command: as said, else the operating system's user, else, where it knows none, the database's. */
export async function operatorName(said: string | undefined, { pool }: DatabaseHandle): Promise<string> {
  if (said !== undefined && said.trim() !== '') return said;
  try {
    return userInfo().username;
  } catch {
    // A container's user often has no name.
    const { rows } = await pool.query('SELECT session_user AS name');
    return String(rows[0]?.name);
  }
}
