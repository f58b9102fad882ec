/**
 * The port that a setting holds. Read by hand: what is asked every few seconds should not load a validator each time.
 * @throws Error when there is none
 */
export function readPort(setting: string): number {
  const text = process.env[setting];
  if (text === undefined) throw new Error(`${setting} is missing`);
  if (!/^\d{1,5}$/.test(text)) throw new Error(`${setting} must be a port`);
  return Number(text);
}
