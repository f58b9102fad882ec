/** Test vectors of the bucket function, as in the README. */
export const bucketVectors: readonly [key: string, bucket: number][] = [
  ['', 35],
  ['a', 10],
  ['acme:c-1', 35],
  ['demo:customer-42', 33],
  ['ключ', 29],
  ['🍵', 7],
  ['x'.repeat(300), 13],
];
