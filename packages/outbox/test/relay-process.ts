import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { createRelay } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';

// A relay as a process of its own, which kills itself when it reaches the point that it is told.
const [url = '', brokers = '', killAt = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 5 });
const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING });
const relay = createRelay(
  {
    pool,
    publisher: createKafkajsPublisher({ kafka }),
    crashPoint: (point) => {
      if (point === killAt) process.kill(process.pid, 'SIGKILL');
    },
  },
  { leaseDurationMs: 800, pollIntervalMs: 50, batchSizeMax: 20 },
);
await relay.start();
