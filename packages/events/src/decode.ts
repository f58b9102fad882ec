import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type OrderEventType, orderEventData, orderEventTypes } from './order-data.ts';
import type { OrderEvent } from './order-event.ts';

/** The part of a Kafka record that decoding needs. */
export interface EncodedRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** What a record turned out to be. `invalid` names every problem found, so that a dead letter explains itself. */
export type DecodedOrderEvent<T extends OrderEventType> =
  | { readonly kind: 'event'; readonly id: string; readonly event: OrderEvent<T> }
  | { readonly kind: 'skip' }
  | { readonly kind: 'invalid'; readonly reason: string; readonly eventId?: string };

const text = Type.String({ minLength: 1 });
const Envelope = Type.Object({
  ce_specversion: Type.Literal('1.0'),
  ce_id: Type.String({ format: 'uuid' }),
  ce_type: text,
  ce_time: Type.String({ format: 'date-time' }),
  ce_subject: text,
  'correlation-id': text,
  'tenant-id': text,
  'causation-id': Type.Optional(text),
  traceparent: Type.Optional(text),
});
const envelope = Compile(Envelope);
const dataSchemas = new Map(orderEventTypes.map((type) => [type, Compile(orderEventData[type])] as const));

/** A record holds at most this many problems in its reason: it goes into a table and a log line. */
const problemsMax = 10;

type Problem = { instancePath: string; message: string };

/**
 * Makes a decoder for the given event types.
 *
 * Records of other types are skipped, whatever they contain. A record without a type, or of another major version
 * of a handled type, is invalid: skipping it would lose an event that somebody meant for us.
 */
export function createOrderEventDecoder<T extends OrderEventType>(options: { readonly types: readonly T[] }) {
  const handled = new Set<string>(options.types);
  const handledNames = new Set(options.types.map(withoutVersion));

  return function decode(record: EncodedRecord): DecodedOrderEvent<T> {
    const headers = textHeaders(record.headers);
    const type = headers.ce_type;
    const eventId = headers.ce_id;
    const invalid = (reason: string) =>
      ({ kind: 'invalid', reason, ...(eventId === undefined ? {} : { eventId }) }) as const;

    if (type === undefined) return invalid('header ce_type is missing');
    if (!handled.has(type)) {
      return handledNames.has(withoutVersion(type))
        ? invalid(`unknown major version ${type}; handled: ${options.types.join(', ')}`)
        : { kind: 'skip' };
    }
    if (!envelope.Check(headers)) return invalid(problems('header', envelope.Errors(headers)));

    const data = parseJson(record.value);
    if ('reason' in data) return invalid(data.reason);
    const schema = dataSchemas.get(type as T);
    if (!schema?.Check(data.json)) return invalid(problems('value', schema?.Errors(data.json) ?? []));

    const orderData = data.json as OrderEvent<T>['data'];
    if (orderData.orderId !== headers.ce_subject) {
      return invalid('header ce_subject is not the value’s orderId');
    }
    const tenantId = headers['tenant-id'];
    const key = record.key === null ? '' : Buffer.from(record.key).toString('utf8');
    if (!key.startsWith(`${tenantId}:`))
      return invalid('the key is not of the tenant that header tenant-id names');

    const event = {
      id: headers.ce_id,
      type: type as T,
      time: headers.ce_time,
      tenantId,
      customerId: key.slice(tenantId.length + 1),
      correlationId: headers['correlation-id'],
      ...(headers['causation-id'] === undefined ? {} : { causationId: headers['causation-id'] }),
      ...(headers.traceparent === undefined ? {} : { traceparent: headers.traceparent }),
      data: orderData,
    } as unknown as OrderEvent<T>;
    return { kind: 'event', id: event.id, event };
  };
}

const withoutVersion = (type: string): string => type.replace(/\.v\d+$/, '');

function textHeaders(headers: EncodedRecord['headers']): Record<string, string | undefined> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') result[name] = value;
    else if (value instanceof Uint8Array) result[name] = Buffer.from(value).toString('utf8');
  }
  return result;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(value: Uint8Array | null): { json: unknown } | { reason: string } {
  if (value === null) return { reason: 'the record has no value' };
  try {
    return { json: JSON.parse(utf8.decode(value)) };
  } catch {
    // A parser's message quotes what it could not parse, and a reason is logged.
    return { reason: `value of ${value.byteLength} bytes is not JSON in UTF-8` };
  }
}

function problems(where: 'header' | 'value', errors: readonly Problem[]): string {
  const shown = errors.slice(0, problemsMax).map((e) => `${where}${e.instancePath || '/'} ${e.message}`);
  const more = errors.length > problemsMax ? ` (and ${errors.length - problemsMax} more)` : '';
  return shown.join('; ') + more;
}
