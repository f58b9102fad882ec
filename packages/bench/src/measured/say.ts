/** Tells the bench something: a line of JSON on standard output. */
export function say(event: string, fields: object = {}): void {
  console.log(JSON.stringify({ event, ...fields }));
}

/** What the bench has told this process. */
export function told<T>(): T {
  return JSON.parse(process.argv[2] ?? '') as T;
}
