import { createRequire } from 'node:module';
import { addHeader, type HeadersByName, noHeaders } from '../headers-by-name.ts';
import type { HeaderValue } from '../record.ts';
import { decodings } from './decoding.ts';

interface Header {
  readonly key: string;
  readonly value: HeaderValue;
}
interface Decoder {
  readVarIntArray(read: unknown): Header[];
}

/** Marks the replacement, so that it is put in place once. */
const replaced = Symbol.for('orders.kafkajs.header-decoder');

/**
 * kafkajs 2.2.4 copies all headers of a record once for each, and takes names such as `__proto__` or `toString` for
 * repeated ones. It reads them with a method that it uses for nothing else and then reduces them: for our fetches, and
 * for nobody else's, what it reads is given a `reduce` that gathers them in linear time, without anything inherited. Does
 * nothing where kafkajs is built otherwise.
 */
export function patchHeaderDecoder(): void {
  const prototype = decoderPrototype();
  const original = prototype?.readVarIntArray;
  if (prototype === undefined || typeof original !== 'function' || replaced in original) return;
  const readVarIntArray = function (this: Decoder, read: unknown): Header[] {
    const headers = original.call(this, read);
    if (decodings.getStore() !== undefined) headers.reduce = gathered as never;
    return headers;
  };
  prototype.readVarIntArray = Object.assign(readVarIntArray, { [replaced]: true });
}

function gathered(this: Header[]): HeadersByName {
  const headers = noHeaders();
  for (const { key, value } of this) addHeader(headers, key, value);
  return headers;
}

function decoderPrototype(): Decoder | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/protocol/decoder').prototype;
  } catch {
    return undefined;
  }
}
