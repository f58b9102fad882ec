import pg from 'pg';
import { poisonProcess, useAll } from './nonsense.ts';

// Uses the package where somebody has set nonsense for every type, process-wide, and prints what it was told.
const [url = ''] = process.argv.slice(2);
poisonProcess();
const pool = new pg.Pool({ connectionString: url, max: 6 });
const told = await useAll(pool, url);
await pool.end();
process.stdout.write(JSON.stringify(told));
