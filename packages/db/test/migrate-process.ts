import { migrateAll } from '../src/index.ts';

// A process of its own for the tests: migrates the database of its argument and prints the report.
const [url] = process.argv.slice(2);
console.log(JSON.stringify(await migrateAll(url as string)));
