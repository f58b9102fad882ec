import type { Message } from 'kafkajs';
import type { OutboundRecord } from '../publisher.ts';

/** A record as kafkajs takes it: text as it is, which it encodes in place; headers too, which it only reads. */
export const messageOf = ({ key, value, headers }: OutboundRecord): Message => ({
  key,
  value: typeof value === 'string' || Buffer.isBuffer(value) ? value : Buffer.from(value),
  headers,
});
