import { readNonsense } from '@orders/dev-stack/nonsense-types';
import pg from 'pg';
import { useAll } from './nonsense.ts';

// Uses the package where somebody has set nonsense for every type, process-wide, and prints what it was told.
const [url = ''] = process.argv.slice(2);
readNonsense();
const pool = new pg.Pool({ connectionString: url, max: 6 });
const told = await useAll(pool, url).catch((error: Error) => ({ failed: error.message }));
await pool.end();
process.stdout.write(JSON.stringify(told));
