import type { HeaderValue } from './record.ts';

/** Headers that are being gathered: a name that repeats has a list. */
export type HeadersByName = Record<string, HeaderValue | HeaderValue[]>;

/**
 * Headers without a prototype that has anything: any name is a name. Not `Object.create(null)`, which V8 keeps as a hash
 * table: to fill one for each record takes three times as long.
 */
export const noHeaders = (): HeadersByName => new Bare() as HeadersByName;

/** Whether an object was made by {@link noHeaders}. */
export const isHeadersByName = (headers: object): headers is HeadersByName =>
  Object.getPrototypeOf(headers) === Bare.prototype;

/** Puts a header behind those that are there. */
export function addHeader(headers: HeadersByName, name: string, value: HeaderValue): void {
  const before = headers[name];
  if (before === undefined) headers[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else headers[name] = [before, value];
}

class Bare {}
Object.setPrototypeOf(Bare.prototype, null);
Reflect.deleteProperty(Bare.prototype, 'constructor');
Object.freeze(Bare.prototype);

/** Whether it is one value, and not the list of a name that repeats. */
export const isHeaderValue = (value: unknown): value is HeaderValue =>
  value === null || typeof value === 'string' || value instanceof Uint8Array;
