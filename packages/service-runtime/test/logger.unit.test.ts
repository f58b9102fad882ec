import { describe, expect, it } from 'vitest';
import { createLogger, type Logger, type LogLevel } from '../src/index.ts';

function capture(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const logger = createLogger({ service: 'shop', level, destination: { write: (line) => lines.push(line) } });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') };
}

describe('createLogger', () => {
  it('writes one JSON line per entry: level as a word, ISO time, service, fields, message', () => {
    const { logger, lines, last } = capture();
    const port: Logger = logger; // what libraries declare
    port.info({ orderId: 'o-1', text: 'two\nlines' }, 'accepted');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf('\n')).toBe(lines[0]!.length - 1);
    expect(last()).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      service: 'shop',
      orderId: 'o-1',
      text: 'two\nlines',
      msg: 'accepted',
    });
  });

  it('leaves out what is below its level', () => {
    const { logger, lines } = capture('warn');
    logger.info({}, 'no');
    logger.warn({}, 'yes');
    expect(lines).toHaveLength(1);
  });

  it('never writes a secret, at whatever depth, name style or place it comes', () => {
    const { logger, lines, last } = capture();
    const secret = 'hunter2';
    logger.info(
      {
        authorization: secret,
        headers: { Authorization: secret, 'X-Api-Key': secret, accept: 'text/html' },
        order: { items: [{ payment_method: secret, sku: 'tea' }], paymentMethod: secret },
        config: { DATABASE_URL: secret },
        target: `postgres://orders:${secret}@db:5432/orders`,
      },
      'planted',
    );
    for (const password of [`${secret}@`, `p@${secret}`, `p/${secret}`, `:${secret}?`, `p#${secret}`])
      logger.info({ target: `postgres://orders:${password}@db/orders` }, `postgres`);
    logger.child({ apiKey: secret }).info({}, 'bound');
    expect(lines.join()).not.toContain(secret);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      headers: { accept: 'text/html' },
      order: { items: [{ sku: 'tea' }] },
      target: 'postgres://orders:[redacted]@db:5432/orders',
    });
    expect(last()).toMatchObject({ msg: 'bound' });
  });

  it('describes errors with code and cause, without what drivers attach to them', () => {
    const { logger, lines, last } = capture();
    const cause = Object.assign(new Error('no route to postgres://u:hunter2@db/x'), { code: 'EHOSTUNREACH' });
    const error = Object.assign(new TypeError('Invalid URL', { cause }), {
      input: 'hunter2',
      code: 'ERR_INVALID_URL',
    });
    logger.error({ err: error, attempts: [error] }, 'failed');
    expect(last().err).toEqual({
      type: 'TypeError',
      code: 'ERR_INVALID_URL',
      message: 'Invalid URL',
      stack: expect.stringContaining('logger.unit.test'),
      cause: expect.objectContaining({ code: 'EHOSTUNREACH' }),
    });
    logger.error(error, 'an error alone');
    expect(last()).toMatchObject({ msg: 'an error alone', err: { code: 'ERR_INVALID_URL' } });
    expect(lines.join()).not.toContain('hunter2');
  });

  it('survives what refers to itself', () => {
    const { logger, last } = capture();
    const loop: Record<string, unknown> = { name: 'loop' };
    loop.self = loop;
    logger.info({ loop }, 'round');
    expect(last()).toMatchObject({ loop: { self: { name: 'loop' } }, msg: 'round' });
  });
});
