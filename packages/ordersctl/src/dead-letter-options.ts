import { type Command, InvalidArgumentError, Option } from 'commander';
import { positiveInteger } from './command-options.ts';
import { OrdersctlError } from './errors.ts';
import type { CommonOptions } from './output.ts';

/** Number of one of the outbox's dead letters, or id of one of a consumer's. */
export type LetterId = { readonly outbox: number } | { readonly consumer: string };

/** Which dead letters, as the options say. */
export interface SelectionOptions extends CommonOptions {
  readonly of?: string;
  readonly topic?: string;
  readonly failedWith?: string;
  readonly from?: Date;
  readonly to?: Date;
  readonly key?: string;
}

/** Who decides, and why. */
export interface DeciderOptions {
  readonly reason?: string;
  readonly by?: string;
}

export const selectionOptions = (command: Command): Command =>
  command
    .option('--of <name>', '`outbox`, or the name of a consumer')
    .option('--topic <name>', 'of this topic')
    .option('--failed-with <text>', 'whose reason contains this, in any case')
    .addOption(new Option('--from <time>', 'failed at or after this').argParser(time))
    .addOption(new Option('--to <time>', 'failed before this').argParser(time))
    .option('--key <key>', 'of this ordering key, the order’s id for instance');

export const deciderOptions = (command: Command): Command =>
  command
    .option('--reason <text>', 'kept with what is decided')
    .option('--by <name>', 'kept with what is decided (default: the user of the operating system)');

export const rate = (command: Command): Command =>
  command.option('--rate <n>', 'at most so many per second', positiveInteger);

export function reasonOf({ reason }: DeciderOptions): string {
  if (reason !== undefined && reason.trim() !== '') return reason;
  throw new OrdersctlError('ORDERSCTL_USAGE', 'say --reason: it is kept for those who ask later');
}

export function letterId(text: string): LetterId {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return { outbox: Number(text) };
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return { consumer: text.toLowerCase() };
  throw new InvalidArgumentError('It must be an id from `dead-letters list`.');
}

export function jobId(text: string): string {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a number from `dead-letters jobs list`.');
}

const isoTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?$/;

export function time(text: string): Date {
  const date = new Date(text);
  if (isoTime.test(text) && !Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError(
    'It must be a time like 2026-01-31T08:30Z, or a day in UTC like 2026-01-31.',
  );
}

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000 };

export function durationMs(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,5})([smh])$/.exec(text) ?? [];
  if (unit !== undefined) return Number(count) * unitsMs[unit as keyof typeof unitsMs];
  throw new InvalidArgumentError('It must be a duration like 30s, 10m or 2h.');
}

/** The options that say which, in the library's words. */
export function consumerSelection({ topic, failedWith, from, to, key }: SelectionOptions) {
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(failedWith === undefined ? {} : { reason: failedWith }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(key === undefined ? {} : { orderingKey: key }),
  };
}
