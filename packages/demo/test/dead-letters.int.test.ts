import { describe, expect, it } from 'vitest';
import { groupCaughtUp, produce, readTopic } from '../src/records.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

describe('Test 6: Dead letters', () => {
  const system = useSystem();
  const deadLetters = async (where: string, value: unknown) =>
    (await system().pool.query(`select * from dead_letter_events where ${where} = $1`, [value])).rows;

  it('three soft declines: three attempts, one dead letter with its reason, the order FAILED and GET says why', async () => {
    const worker = await system().startWorker({ env: fastWorker });
    const { id } = (await system().placeOrder({ paymentMethod: 'tok_sim_soft_decline' })).body;
    const failed = await system().orderInState(id, 'FAILED');
    expect(failed).toMatchObject({ version: 3, failure: { code: 'insufficient_funds', attempts: 3 } });

    const { attempts, events } = await rowsOf(system(), id);
    expect(attempts.map((attempt) => [attempt.n, attempt.state])).toEqual(
      [1, 2, 3].map((n) => [n, 'DECLINED']),
    );
    expect(await deadLetters('event_id', events[0].event_id)).toMatchObject([
      { worker_id: 'payment-executor', reason: expect.stringContaining('insufficient_funds') },
    ]);
    expect((await system().charges(id)).map((charge) => charge.outcome)).toEqual([
      'declined',
      'declined',
      'declined',
    ]);
    await worker.stop();
  });

  it('a hard decline fails the order at once, without a dead letter', async () => {
    const worker = await system().startWorker({ env: fastWorker });
    const { id } = (await system().placeOrder({ paymentMethod: 'tok_sim_hard_decline' })).body;
    expect(await system().orderInState(id, 'FAILED')).toMatchObject({ failure: { attempts: 1 } });
    const { events } = await rowsOf(system(), id);
    expect(await deadLetters('event_id', events[0].event_id)).toEqual([]);
    await worker.stop();
  });

  it('a record that cannot be decoded is kept once, byte for byte, and the orders behind it go on', async () => {
    const { kafkaBrokers, topic, consumerGroup } = system();
    const worker = await system().startWorker({ env: fastWorker });
    const value = Buffer.from([0xff, 0x00, 0x7b]);
    await produce(kafkaBrokers, topic, {
      key: Buffer.from('demo:customer-1'),
      value,
      headers: { ce_type: 'order.created.v1' },
    });
    const { id } = (await system().placeOrder({ customerId: 'customer-1' })).body;
    await system().orderInState(id, 'PAID');

    const poison = (await readTopic(kafkaBrokers, topic)).find((record) => record.value?.equals(value));
    const stored = await deadLetters('value', value);
    expect(stored).toMatchObject([
      {
        topic,
        partition: poison?.partition,
        offset: poison?.offset,
        reason: expect.stringContaining('ce_id'),
      },
    ]);

    // The same record read again, by a group that begins at the beginning, adds no second row.
    await worker.stop();
    const again = await system().startWorker({
      env: { ...fastWorker, CONSUMER_GROUP: `${consumerGroup}.again` },
    });
    await groupCaughtUp(kafkaBrokers, topic, `${consumerGroup}.again`);
    expect(await deadLetters('value', value)).toHaveLength(1);
    await again.stop();
  });
});
