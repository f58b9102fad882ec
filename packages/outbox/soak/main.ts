import { soakMain } from '@orders/dev-stack/soak';
import { adversarial } from './cases/adversarial.ts';
import { autovacuum, autovacuum15 } from './cases/autovacuum.ts';
import { backlog } from './cases/backlog.ts';
import { brokerOutage } from './cases/broker-outage.ts';
import { heldSnapshot } from './cases/held-snapshot.ts';
import { idle } from './cases/idle.ts';
import { pgbouncer } from './cases/pgbouncer.ts';
import { postgresRestart } from './cases/postgres-restart.ts';
import { postgres15, postgres18 } from './cases/postgres-versions.ts';
import { turmoil } from './cases/turmoil.ts';

await soakMain({
  command: 'pnpm soak:outbox',
  about: "The outbox's long cases.",
  cases: [
    adversarial,
    turmoil,
    brokerOutage,
    postgresRestart,
    pgbouncer,
    postgres15,
    postgres18,
    backlog,
    heldSnapshot,
    idle,
    autovacuum,
    autovacuum15,
  ],
});
