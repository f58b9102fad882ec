import { readFileSync } from 'node:fs';
import type { BenchRecord } from '../backlog.ts';
import { say } from './say.ts';
import { openWindow, type WindowSettings } from './window.ts';

/** What a raw producer is started with. */
export interface RawSettings {
  readonly kafkaBrokers: readonly string[];
  readonly topic: string;
  /** JSON file of the records, which are sent again and again. */
  readonly recordsFile: string;
  readonly batchSize: number;
  /** Batches under way at once. */
  readonly concurrency: number;
  readonly window: WindowSettings;
}

/**
 * Sends as many records as the window wants, the next batch as soon as one is acknowledged.
 * @param messageOf makes what the client takes; all are made beforehand, so that nothing but sending is measured
 */
export async function sendAll<Message>(
  settings: RawSettings,
  messageOf: (record: BenchRecord) => Message,
  send: (messages: Message[]) => Promise<unknown>,
): Promise<void> {
  const { batchSize, concurrency, window } = settings;
  const records: BenchRecord[] = JSON.parse(readFileSync(settings.recordsFile, 'utf8'));
  const messages = records.map(messageOf);
  const acknowledged = openWindow(window);
  const total = window.skip + window.count;
  let sent = 0;
  say('ready');

  async function sendOn(): Promise<void> {
    while (sent < total) {
      const from = sent % messages.length;
      const batch = messages.slice(from, from + Math.min(batchSize, total - sent));
      sent += batch.length;
      await send(batch);
      acknowledged(batch.length);
    }
  }

  await Promise.all(Array.from({ length: concurrency }, sendOn));
}
