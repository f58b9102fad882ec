import pg from 'pg';

/** Types of PostgreSQL that anything of ours is read as, and those that it might be taken for; arrays too. */
const typeIds = [
  ...[16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 114, 700, 701, 1042, 1043, 1082, 1114, 1184, 1186, 1700],
  ...[2205, 2206, 2278, 2950, 3802, 5069],
  ...[199, 1000, 1001, 1003, 1005, 1007, 1009, 1015, 1016, 1021, 1022, 1115, 1185, 1231, 2951, 3807],
];

/**
 * Has pg read every value in this process as nonsense, for whoever does not say how it is to be read: what a program
 * does that sets a type parser of its own, and worse.
 * @returns ends it
 */
export function readNonsense(): () => void {
  const parsers = typeIds.map((id) => [id, pg.types.getTypeParser(id)] as const);
  for (const id of typeIds) pg.types.setTypeParser(id, () => 'nonsense');
  return () => {
    for (const [id, parse] of parsers) pg.types.setTypeParser(id, parse);
  };
}
