import type { IncomingHttpHeaders } from 'node:http';
import { v7 as uuidv7 } from 'uuid';

const saneCorrelationId = /^[A-Za-z0-9._:/+=@-]{1,128}$/;
const traceparent = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The client's `x-correlation-id` if it is fit for logs and headers, else a new one. */
export function correlationIdOf(headers: IncomingHttpHeaders): string {
  const given = headers['x-correlation-id'];
  return typeof given === 'string' && saneCorrelationId.test(given) ? given : uuidv7();
}

/** The client's W3C trace context, if it is a valid one of a version we know. */
export function traceparentOf(headers: IncomingHttpHeaders): string | undefined {
  const given = headers.traceparent;
  return typeof given === 'string' && given.startsWith('00-') && traceparent.test(given) ? given : undefined;
}
