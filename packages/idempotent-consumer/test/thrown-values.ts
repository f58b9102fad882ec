/** What JavaScript lets one throw, and what is said of it. */
export const thrownValues: readonly { what: string; value: unknown; reason: RegExp }[] = [
  { what: 'a text', value: 'just text', reason: /just text/ },
  { what: 'an empty text', value: '', reason: /thrown: ''/ },
  { what: 'undefined', value: undefined, reason: /thrown: undefined/ },
  { what: 'null', value: null, reason: /thrown: null/ },
  { what: 'a Symbol', value: Symbol('odd'), reason: /thrown: Symbol\(odd\)/ },
  { what: 'a BigInt', value: 7n, reason: /thrown: 7n/ },
  { what: 'an object without prototype', value: bare(), reason: /null prototype.*why: 'bare'/s },
  { what: 'a revoked Proxy', value: revoked({}), reason: /Revoked Proxy|cannot be shown/ },
  {
    what: 'a revoked Proxy of an Error',
    value: revoked(new Error('x')),
    reason: /Revoked Proxy|cannot be shown/,
  },
  {
    what: 'a Proxy that throws at everything',
    value: new Proxy({}, hostile()),
    reason: /thrown|cannot be shown/,
  },
  { what: 'a function', value: () => undefined, reason: /thrown: \[Function/ },
  {
    what: 'an object whose toString throws',
    value: { toString: fail, toJSON: fail, [Symbol.toPrimitive]: fail },
    reason: /thrown/,
  },
  {
    what: 'an object that cannot be inspected',
    value: { [Symbol.for('nodejs.util.inspect.custom')]: fail },
    reason: /a thrown object that cannot be shown/,
  },
  ...['message', 'code', 'cause', 'name', 'stack', 'errors'].map((name) => ({
    what: `a frozen Error with a getter "${name}" that throws`,
    value: Object.freeze(Object.defineProperty(new Error('framed'), name, { get: fail })),
    reason: /framed|cannot be shown/,
  })),
  { what: 'a frozen Error', value: Object.freeze(new Error('frozen')), reason: /Error: frozen/ },
  { what: 'an Error that is its own cause', value: itself(), reason: /Error: again/ },
  { what: 'an AggregateError of itself', value: many(), reason: /AggregateError: many/ },
  {
    what: 'an Error with U+0000 and a lone surrogate',
    value: new Error('a\u0000b\ud800'),
    reason: /a\\0b\ufffd/,
  },
  { what: 'an Error of 10 MB', value: new Error('x'.repeat(10_000_000)), reason: /^.{0,30}x{100}/ },
  { what: 'an empty Error', value: new Error(), reason: /Error/ },
];

function fail(): never {
  throw new Error('a getter that throws');
}

function bare(): object {
  return Object.assign(Object.create(null), { why: 'bare' });
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function hostile(): ProxyHandler<object> {
  return { get: fail, getPrototypeOf: fail, has: fail, ownKeys: fail, getOwnPropertyDescriptor: fail };
}

function itself(): Error {
  const error = new Error('again');
  error.cause = error;
  return error;
}

function many(): Error {
  const error = new AggregateError([], 'many');
  error.errors = Array.from({ length: 50 }, () => error);
  error.cause = error;
  return error;
}
