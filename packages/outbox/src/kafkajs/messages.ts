import type { Message } from 'kafkajs';
import type { OutboundRecord } from '../publisher.ts';

/** A record as kafkajs takes it. */
export const messageOf = ({ key, value, headers }: OutboundRecord): Message => ({
  key,
  value: Buffer.from(value as string),
  headers: { ...headers },
});
