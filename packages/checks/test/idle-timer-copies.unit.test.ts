import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const copyOf = (library: string) =>
  readFileSync(new URL(`../../../packages/${library}/src/kafkajs/idle-timer.ts`, import.meta.url), 'utf8');

it('both libraries carry the same cure for the idle timers of kafkajs', () => {
  expect(copyOf('idempotent-consumer')).toBe(copyOf('outbox'));
});
