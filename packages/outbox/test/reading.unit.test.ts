import { expect, it } from 'vitest';
import { createLanes } from '../src/relay/lanes.ts';
import { relaySettings } from '../src/relay/options.ts';
import type { Found, OutboxRow, ReadRequest } from '../src/relay/outbox-rows.ts';
import { createReading } from '../src/relay/reading.ts';

const settings = relaySettings({ batchSizeMax: 2, inFlightMax: 64 });
const ours = [1, 2, 3];

/** A reading that has looked everywhere once, and what it asked for since. */
async function readingAt(answer: (requests: readonly ReadRequest[]) => Found = answerAll) {
  const lanes = createLanes(settings);
  const asked: number[][] = [];
  let hurried = 0;
  const reading = createReading(
    {
      lanes,
      rows: {
        read: async (requests) => {
          asked.push(requests.map(({ bucket }) => bucket));
          return answer(requests);
        },
      },
      marks: {
        hurry: () => {
          hurried += 1;
        },
      },
    },
    settings,
  );
  const read = () => reading.read(ours, 100);
  await read();
  expect(asked.splice(0)).toEqual([ours]);
  return { lanes, reading, read, asked, hurried: () => hurried };
}

const answerAll = (requests: readonly ReadRequest[]): Found => ({ rows: [], answered: requests });

it('reads what is asked for, once, and nothing of what others own', async () => {
  const { reading, read, asked } = await readingAt();
  expect(reading.isWanted()).toBe(false);
  await read();
  reading.ask([3, 1, 60]);
  expect(reading.isWanted()).toBe(true);
  await read();
  await read();
  reading.ask();
  await read();
  expect(asked).toEqual([[1, 3], ours]);
});

it('what is asked for while it is in flight is read when it has landed, and is marked sooner', async () => {
  const { lanes, reading, read, asked, hurried } = await readingAt();
  lanes.depart(2, 't');
  reading.ask([1, 2]);
  await read();
  await read();
  expect(asked).toEqual([[1]]);
  expect(hurried()).toBe(2);
  expect(reading.isWanted()).toBe(false);
  lanes.arrive(2, 't', undefined);
  expect(reading.isWanted()).toBe(true);
  await read();
  expect(asked).toEqual([[1], [2]]);
});

it('buckets that had more rows than were read, or no turn, are read again', async () => {
  const rowOf = (bucket: number) => ({ bucket }) as OutboxRow;
  let isFull = false;
  const { reading, read, asked } = await readingAt((requests) =>
    isFull ? { rows: [rowOf(1), rowOf(1), rowOf(2)], answered: requests.slice(0, 2) } : answerAll(requests),
  );
  isFull = true;
  reading.ask();
  await read();
  isFull = false;
  await read();
  await read();
  expect(asked).toEqual([ours, [3, 1]]);
});
