// NestJS: a provider that runs a consumer for as long as the application runs. Needs `app.enableShutdownHooks()`, and
// imports its types from '@nestjs/common'.

import pg from 'pg';
import { type Consumer, createConsumer, pgTransaction, type RecordSource } from '../../src/index.ts';
import { decodeCount } from '../counting.ts';
import type { BeforeApplicationShutdown, FactoryProvider, OnApplicationBootstrap } from './nestjs-common.ts';

export class CountingConsumer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #consumer: Consumer;

  constructor(source: RecordSource, pool: pg.Pool) {
    this.#consumer = createConsumer(
      { source, transaction: pgTransaction(pool) },
      {
        consumerName: 'counting',
        decode: decodeCount,
        async handle(tx: pg.PoolClient, { name }) {
          await tx.query(
            'INSERT INTO counters VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1',
            [name],
          );
        },
      },
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#consumer.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#consumer.stop();
  }

  /** For a health indicator of Terminus. */
  isHealthy(): boolean {
    return this.#consumer.isHealthy();
  }
}

export const countingConsumer = {
  provide: CountingConsumer,
  inject: ['RECORD_SOURCE', pg.Pool],
  useFactory: (source: RecordSource, pool: pg.Pool) => new CountingConsumer(source, pool),
} satisfies FactoryProvider<CountingConsumer>;
