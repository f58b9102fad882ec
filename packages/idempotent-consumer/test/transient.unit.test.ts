import { createServer } from 'node:net';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { isTransient } from '../src/index.ts';

const withCode = (code: string) => Object.assign(new Error('x'), { code });

describe('isTransient', () => {
  it.each([
    ...['08000', '08006', '08P01', '40000', '40001', '40003', '40P01', '53100', '53300', '55P03', '57014'],
    ...['57P01', '57P02', '57P03', '57P05', '58030', '25006', '25P03', '25P04'],
    ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'],
  ])('%s is', (code) => {
    expect(isTransient(withCode(code))).toBe(true);
  });

  it.each([
    ...[
      '23505',
      '23503',
      '22P02',
      '22021',
      '25P02',
      '40002',
      '42P01',
      '42501',
      '42601',
      '28P01',
      '54000',
      'P0001',
    ],
    ...['XX000', '57P010', 'ENOENT', 'ERR_INVALID_ARG_TYPE', 'DB_TRANSACTION_ABORTED', ''],
  ])('%j is not', (code) => {
    expect(isTransient(withCode(code))).toBe(false);
  });

  it.each([undefined, null, '40001', 40001, {}, new Error('no'), new TypeError('x is not a function')])(
    '%s is not',
    (error) => {
      expect(isTransient(error)).toBe(false);
    },
  );

  it('looks into causes and aggregates, and survives a chain that bites its tail', () => {
    expect(isTransient(new Error('outer', { cause: new Error('inner', { cause: withCode('40P01') }) }))).toBe(
      true,
    );
    expect(isTransient(new AggregateError([withCode('ENOENT'), withCode('ECONNREFUSED')]))).toBe(true);
    const circular: Error & { cause?: unknown } = new Error('round');
    circular.cause = new Error('and round', { cause: circular });
    expect(isTransient(circular)).toBe(false);
  });

  it('knows what pg says of a server that is not there, hangs up, or does not answer', async () => {
    const server = createServer((socket) => {
      if (mode === 'hang up') socket.destroy();
    });
    let mode: 'hang up' | 'silent' = 'hang up';
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const errorOf = async (config: pg.PoolConfig) => {
      const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'u', database: 'd', ...config });
      const error = await pool.query('SELECT 1').then(
        () => undefined,
        (reason: unknown) => reason,
      );
      await pool.end();
      return error;
    };
    expect(isTransient(await errorOf({}))).toBe(true);
    mode = 'silent';
    expect(isTransient(await errorOf({ connectionTimeoutMillis: 50 }))).toBe(true);
    server.close();
    expect(isTransient(await errorOf({ host: 'localhost', port: 1 }))).toBe(true);
  });
});
