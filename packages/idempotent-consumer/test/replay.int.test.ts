import { describe, expect, it } from 'vitest';
import { addDeadLetter, discardDeadLetter, replayDeadLetter, showDeadLetter } from '../src/index.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { type CountEvent, countUp, decodeCount, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const by = { actor: 'ada', reason: 'mended' };

describe('replay', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  /** A consumer whose handler fails, or whose decoder refuses, until it is mended. */
  async function broken(bad: (id: string) => boolean, options: Parameters<typeof start>[0] = {}) {
    const handled: string[] = [];
    const world = { isMended: false };
    const started = await start({
      retry: { attemptsMax: 1 },
      handle: async (tx: Tx, event: CountEvent, { afterCommit }) => {
        await countUp(tx, event);
        if (bad(event.id) && !world.isMended) throw new Error(`no ${event.id}`);
        afterCommit(() => void handled.push(event.id));
      },
      ...options,
    });
    const letters = () => db().deadLetters(started.consumerName);
    const replayAll = async () => {
      const decisions = [];
      for (const { id } of await letters())
        decisions.push(await db().transaction((tx) => replayDeadLetter(tx, String(id), by)));
      return decisions;
    };
    return { ...started, handled, world, letters, replayAll };
  }

  /** Decodes no event whose id ends with `-x` until it is mended. */
  const decodingLater =
    (world: () => { isMended: boolean }) => (record: Parameters<typeof decodeCount>[0]) => {
      const decoded = decodeCount(record);
      if (world().isMended || decoded.kind !== 'event' || !decoded.id.endsWith('-x')) return decoded;
      return { kind: 'invalid' as const, reason: 'of a newer version', eventId: decoded.id };
    };

  it('re-arms the stored row, audited in the same transaction; the key goes on behind it, in order', async () => {
    const name = uniqueName('order');
    const ids = [1, 2, 3].map((n) => `${name}-${n}`);
    const { source, handled, world, letters, replayAll, consumerName } = await broken((id) => id === ids[0]);
    await source.deliver(ids.map((id) => counting(id, name)));
    await expect.poll(letters, soon).toMatchObject([{ state: 'DEAD', attempts: 1 }]);
    expect(handled).toEqual([]);
    world.isMended = true;
    const [decision] = await replayAll();
    expect(decision).toMatchObject({ outcome: 'replayed' });
    await expect.poll(() => handled, soon).toEqual(ids);
    expect(await db().counted(name)).toBe(3);
    expect(await letters()).toMatchObject([{ state: 'DONE', decided_at: expect.any(Date) }]);
    const shown = await db().transaction((tx) => showDeadLetter(tx, decision?.id ?? ''));
    expect(shown).toMatchObject({
      consumerName,
      isWhole: true,
      scheduled: { state: 'DONE', eventId: ids[0], orderingKey: `key:${name}` },
      history: [{ actor: 'ada', action: 'replay', reason: 'mended', detail: { deadLetterId: decision?.id } }],
    });
    expect(shown?.value?.toString()).toBe(name);
    expect(shown?.headers).toMatchObject({ id: Buffer.from(ids[0] ?? '') });
  });

  it('nothing stands of a replay whose transaction is rolled back', async () => {
    const name = uniqueName('rollback');
    const { source, letters } = await broken(() => true);
    await source.deliver([counting(`${name}-1`, name)]);
    const [letter] = await letters();
    const replay = db().transaction(async (tx) => {
      await replayDeadLetter(tx, String(letter?.id), by);
      throw new Error('not today');
    });
    await expect(replay).rejects.toThrow('not today');
    expect(await letters()).toEqual([letter]);
    const { rows } = await db().pool.query(
      `SELECT FROM consumer_audit WHERE detail ->> 'deadLetterId' = $1`,
      [letter?.id],
    );
    expect(rows).toEqual([]);
  });

  it('one that fails again is the same dead letter, with its new reason and all its tries', async () => {
    const name = uniqueName('again');
    const { source, letters, replayAll } = await broken(() => true);
    await source.deliver([counting(`${name}-1`, name)]);
    const [first] = await letters();
    await replayAll();
    await expect.poll(letters, soon).toMatchObject([{ id: first?.id, state: 'DEAD', decided_at: null }]);
    const [second] = await letters();
    expect(Number(second?.failed_at)).toBeGreaterThan(Number(first?.failed_at));
    expect(await replayAll()).toMatchObject([{ outcome: 'replayed' }]);
  });

  it('a record that could not be decoded is decoded, handled once, and a duplicate when it comes again', async () => {
    const name = uniqueName('undecoded');
    let consumer: Awaited<ReturnType<typeof broken>> | undefined;
    const decode = decodingLater(() => consumer?.world ?? { isMended: false });
    consumer = await broken(() => false, { decode });
    const { source, letters, replayAll, world, handled, consumerName } = consumer;
    await source.deliver([counting(`${name}-x`, name), counting(`${name}-2`, name)]);
    expect(handled).toEqual([`${name}-2`]);
    expect(await letters()).toMatchObject([
      { state: 'DEAD', scheduled_seq: null, reason: 'of a newer version' },
    ]);
    world.isMended = true;
    expect(await replayAll()).toMatchObject([{ outcome: 'replayed' }]);
    await expect.poll(() => handled, soon).toEqual([`${name}-2`, `${name}-x`]);
    expect(await letters()).toMatchObject([{ state: 'DONE' }]);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { event_id: `${name}-x`, ordering_key: `key:${name}`, state: 'DONE' },
    ]);
    await source.deliver([counting(`${name}-x`, name)]);
    expect(await db().counted(name)).toBe(2);
  });

  it('one that is decoded now and whose handler fails is tried again, and not taken for a duplicate', async () => {
    const name = uniqueName('twice');
    const world = { isMended: false };
    const failures = { left: 2 };
    const { source, letters, replayAll } = await broken(() => false, {
      decode: decodingLater(() => world),
      retry: { attemptsMax: 5 },
      handle: async (tx: Tx, event: CountEvent) => {
        if (failures.left-- > 0) throw new Error('not yet');
        await countUp(tx, event);
      },
    });
    await source.deliver([counting(`${name}-x`, name)]);
    world.isMended = true;
    await replayAll();
    await expect.poll(letters, soon).toMatchObject([{ state: 'DONE' }]);
    expect(failures.left).toBe(-1);
    expect(await db().counted(name)).toBe(1);
  });

  it('one that still cannot be decoded is the letter that it was, and blocks no event of its key', async () => {
    const name = uniqueName('still');
    const { source, letters, replayAll, handled, consumerName } = await broken(() => false, {
      decode: decodingLater(() => ({ isMended: false })),
    });
    await source.deliver([counting(`${name}-x`, name)]);
    const [first] = await letters();
    await replayAll();
    await expect.poll(letters, soon).toMatchObject([{ id: first?.id, state: 'DEAD', scheduled_seq: null }]);
    expect(await db().scheduled(consumerName)).toMatchObject([{ state: 'DISCARDED' }]);
    await source.deliver([counting(`${name}-2`, name)]);
    expect(handled).toEqual([`${name}-2`]);
    expect(await replayAll()).toMatchObject([{ outcome: 'replayed' }]);
  });

  it('one whose id another record has, which was handled, is a duplicate', async () => {
    const name = uniqueName('taken');
    const world = { isMended: false };
    const decode = (record: Parameters<typeof decodeCount>[0]) =>
      record.headers.broken === undefined || world.isMended
        ? decodeCount(record)
        : { kind: 'invalid' as const, reason: 'broken', eventId: `${name}-1` };
    const { source, letters, replayAll } = await broken(() => false, { decode });
    const good = counting(`${name}-1`, name);
    await source.deliver([good, { ...good, headers: { ...good.headers, broken: Buffer.from('yes') } }]);
    expect(await letters()).toMatchObject([{ event_id: `${name}-1`, state: 'DEAD' }]);
    world.isMended = true;
    await replayAll();
    await expect.poll(letters, soon).toMatchObject([{ state: 'DONE' }]);
    expect(await db().counted(name)).toBe(1);
  });

  it('records that are decoded now wait for their turn in the key that the consumer names', async () => {
    const name = uniqueName('keyed');
    const world = { isMended: false };
    const {
      source,
      letters,
      replayAll,
      handled,
      world: handler,
    } = await broken((id) => id.endsWith('-1'), {
      decode: decodingLater(() => world),
      orderingKey: ({ name: of }) => of,
    });
    const of = (id: string) => ({ ...counting(id, name), key: 'anything' });
    await source.deliver([of(`${name}-1`), of(`${name}-2-x`), of(`${name}-3-x`)]);
    world.isMended = true;
    const [first, ...undecoded] = await letters();
    for (const { id } of undecoded) await db().transaction((tx) => replayDeadLetter(tx, String(id), by));
    await expect
      .poll(() => db().scheduled(String(first?.worker_id)), soon)
      .toMatchObject([1, 2, 3].map(() => ({ ordering_key: `key:${name}` })));
    expect(handled).toEqual([]);
    handler.isMended = true;
    await db().transaction((tx) => replayDeadLetter(tx, String(first?.id), by));
    await expect.poll(() => handled, soon).toEqual([`${name}-1`, `${name}-2-x`, `${name}-3-x`]);
    await expect.poll(letters, soon).toMatchObject([1, 2, 3].map(() => ({ state: 'DONE' })));
    expect(await replayAll()).toMatchObject(
      [1, 2, 3].map(() => ({ outcome: 'refused', refusal: 'decided' })),
    );
  });

  it('a letter of an older version is handled, though its inbox row stands', async () => {
    const name = uniqueName('older');
    const consumerName = uniqueName('consumer');
    const { pool } = db();
    await pool.query(
      `INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset") VALUES ($1, $2, 't', 0, 7)`,
      [`${name}-1`, consumerName],
    );
    await pool.query(
      `INSERT INTO dead_letter_events (event_id, worker_id, topic, "partition", "offset", key, value, headers, reason)
       VALUES ($1, $2, 't', 0, 7, $3, $3, jsonb_build_object('type', 'count', 'id',
         jsonb_build_object('base64', encode(convert_to($1, 'UTF8'), 'base64'))), 'TypeError')`,
      [`${name}-1`, consumerName, Buffer.from(name)],
    );
    const { replayAll, letters, source } = await broken(() => false, { consumerName });
    expect(await replayAll()).toMatchObject([{ outcome: 'replayed' }]);
    await expect.poll(letters, soon).toMatchObject([{ state: 'DONE' }]);
    expect(await db().counted(name)).toBe(1);
    await source.deliver([counting(`${name}-1`, name)]);
    expect(await db().counted(name)).toBe(1);
  });

  it('a letter whose record has given up its place stays one row when it fails again', async () => {
    const name = uniqueName('anew');
    const { letters, replayAll, consumerName, source } = await broken(() => true);
    await source.deliver([{ ...counting(`${name}-1`, `${name}-a`), offset: '5' }]);
    await source.deliver([{ ...counting(`${name}-2`, `${name}-b`), offset: '5' }]);
    const ids = (await letters()).map(({ id }) => id).toSorted();
    expect(ids).toHaveLength(2);
    expect(await replayAll()).toMatchObject([{ outcome: 'replayed' }, { outcome: 'replayed' }]);
    await expect.poll(letters, soon).toMatchObject([{ state: 'DEAD' }, { state: 'DEAD' }]);
    expect((await letters()).map(({ id }) => id).toSorted()).toEqual(ids);
    expect(await db().scheduled(consumerName)).toHaveLength(2);
  });

  it('bytes that were cut are refused, unless its scheduled row has them', async () => {
    const name = uniqueName('cut');
    const { source, letters, replayAll, world, handled } = await broken((id) => id.endsWith('-1'), {
      deadLetterBytesMax: 3,
      decode: decodingLater(() => ({ isMended: false })),
    });
    await source.deliver([counting(`${name}-1`, name), counting(`${name}-x`, `${name}-other`)]);
    expect((await letters()).map(({ value }) => (value as Buffer).length)).toEqual([3, 3]);
    world.isMended = true;
    expect(await replayAll()).toMatchObject([
      { outcome: 'replayed' },
      { outcome: 'refused', refusal: 'cut', hint: expect.stringContaining('cut') },
    ]);
    await expect.poll(() => handled, soon).toEqual([`${name}-1`]);
    expect(await letters()).toMatchObject([{ state: 'DONE' }, { state: 'DEAD', scheduled_seq: null }]);
  });

  it('what is no record, and what is not there, is refused with a hint', async () => {
    const letter = { topic: null, partition: null, offset: null, key: null, value: null, headers: {} };
    const consumerName = uniqueName('no-record');
    const { id } = await db().transaction((tx) =>
      addDeadLetter(tx, {
        ...letter,
        consumerName,
        eventId: 'p',
        payload: {},
        reason: 'declined',
        attempts: 3,
      }),
    );
    for (const decide of [replayDeadLetter, discardDeadLetter]) {
      expect(await db().transaction((tx) => decide(tx, id, by))).toEqual({
        outcome: 'refused',
        id,
        refusal: 'no-record',
        hint: `it is no record of a topic: whatever wrote it for ${consumerName} decides about it`,
      });
      const nobody = '00000000-0000-4000-8000-000000000000';
      expect(await db().transaction((tx) => decide(tx, nobody, by))).toMatchObject({ refusal: 'unknown' });
    }
    await expect(
      db().transaction((tx) => discardDeadLetter(tx, id, { actor: 'ada', reason: ' ' })),
    ).rejects.toThrow('a reason is needed');
  });

  it('a discarded head lets its key go on in order, and is never handled', async () => {
    const name = uniqueName('discard');
    const ids = [1, 2, 3].map((n) => `${name}-${n}`);
    const { source, handled, letters, consumerName } = await broken((id) => id === ids[0]);
    await source.deliver(ids.map((id) => counting(id, name)));
    const [letter] = await letters();
    const decision = await db().transaction((tx) => discardDeadLetter(tx, String(letter?.id), by));
    expect(decision).toEqual({ outcome: 'discarded', id: letter?.id });
    await expect.poll(() => handled, soon).toEqual(ids.slice(1));
    expect(await letters()).toMatchObject([{ state: 'DISCARDED' }]);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { state: 'DISCARDED', finished_at: expect.any(Date) },
      { state: 'DONE' },
      { state: 'DONE' },
    ]);
  });

  it('a discarded record that could not be decoded is discarded, too', async () => {
    const name = uniqueName('discard-x');
    const { source, letters } = await broken(() => false, {
      decode: decodingLater(() => ({ isMended: false })),
    });
    await source.deliver([counting(`${name}-x`, name)]);
    const [letter] = await letters();
    expect(await db().transaction((tx) => discardDeadLetter(tx, String(letter?.id), by))).toMatchObject({
      outcome: 'discarded',
    });
    expect(await letters()).toMatchObject([{ state: 'DISCARDED', scheduled_seq: null }]);
  });

  it('a replay outlives the consumer: whoever starts next handles it', async () => {
    const name = uniqueName('later');
    const first = await broken(() => true);
    await first.source.deliver([counting(`${name}-1`, name)]);
    await first.consumer.stop();
    await first.replayAll();
    const { handled } = await broken(() => false, {
      consumerName: first.consumerName,
      source: memorySource(),
    });
    await expect.poll(() => handled, soon).toEqual([`${name}-1`]);
  });
});
