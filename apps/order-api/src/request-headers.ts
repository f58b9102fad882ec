import type { IncomingMessage } from 'node:http';
import { ApiError, type FieldProblem } from './errors.ts';

/** Headers that we read. Of two values Node would drop the second, or join both, without a word. */
const single = new Set(['authorization', 'content-encoding', 'content-type', 'host', 'idempotency-key']);

/** @throws ApiError `malformed_request` naming a header that is missing or given twice */
export function checkHeaders({ headers, httpVersion, rawHeaders }: IncomingMessage): void {
  const errors: FieldProblem[] = [];
  if (headers.host === undefined && httpVersion === '1.1') errors.push(problemOf('host', 'is missing'));
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (seen.has(name) && single.has(name)) errors.push(problemOf(name, 'is given more than once'));
    seen.add(name);
  }
  if (errors.length > 0) throw new ApiError('malformed_request', { errors: errors.slice(0, errorsMax) });
}

const errorsMax = 10;

const problemOf = (field: string, message: string): FieldProblem => ({ in: 'header', field, message });
