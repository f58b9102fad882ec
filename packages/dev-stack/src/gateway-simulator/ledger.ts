import { closeSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';

/** A charge that was carried out or declined. The file has one as JSON per line, in the order of execution. */
export interface LedgerEntry {
  /** ISO time. */
  at: string;
  /** The idempotency key. */
  key: string;
  /** The caller's name for what is paid: the order's id. */
  reference: string;
  outcome: 'captured' | 'declined';
  /** Only of a captured charge. */
  chargeId?: string;
  /** Only of a declined charge. */
  code?: string;
  kind?: 'soft' | 'hard';
  amountMinor: number;
  currency: string;
  paymentMethod: string;
}

/** The gateway's own books, in memory and on disk. */
export interface Ledger {
  find(key: string): LedgerEntry | undefined;
  /** On return the entry is on the disk, so that no answer is ever given which a crash could undo. */
  append(entry: LedgerEntry): void;
  close(): void;
}

/** Opens the ledger at `path`, knowing every key of earlier runs. */
export function openLedger(path: string): Ledger {
  const file = openSync(path, 'a');
  const text = readFileSync(path, 'utf8');
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  // A kill in the middle of a write leaves part of a line: that charge was never answered and did not happen.
  if (complete.length < text.length) truncateSync(path, Buffer.byteLength(complete));
  const entries = new Map(parseLedger(complete).map((entry) => [entry.key, entry]));
  return {
    find: (key) => entries.get(key),
    append(entry) {
      writeSync(file, `${JSON.stringify(entry)}\n`);
      fsyncSync(file);
      entries.set(entry.key, entry);
    },
    close: () => closeSync(file),
  };
}

/** The entries of a ledger's text; an unfinished last line is not yet one. */
export function parseLedger(text: string): LedgerEntry[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LedgerEntry);
}
