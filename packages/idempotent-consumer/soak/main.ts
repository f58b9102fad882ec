import { soakMain } from '@orders/dev-stack/soak';
import { groups } from './cases/group.ts';
import { rollingRestarts } from './cases/rolling-restart.ts';

await soakMain({
  command: 'pnpm soak:consumer',
  about: "The consumer's long cases: members, servers and offsets that go away.",
  cases: [...groups, ...rollingRestarts],
});
