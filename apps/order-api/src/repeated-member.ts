import { member } from './validation.ts';

/** The name of a member, any other text, a bracket, or a comma. */
const token = /("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\],]/g;

/** An object or an array that has begun: the names it has so far, and where in it we are. */
interface Level {
  readonly names: Set<string> | null;
  at: string | number;
}

/**
 * JSON pointer of a member that its object has already had; undefined if there is none. JSON.parse takes the last of
 * them and others the first: who has checked a body before us may have read another order in it.
 * @param text valid JSON
 */
export function repeatedMember(text: string): string | undefined {
  const levels: Level[] = [];
  for (const [found, quoted] of text.matchAll(token)) {
    const level = levels.at(-1);
    if (quoted !== undefined) {
      const name = JSON.parse(quoted) as string;
      (level as Level).at = name;
      if (level?.names?.has(name)) return levels.reduce((pointer, { at }) => member(pointer, at), '');
      level?.names?.add(name);
    } else if (found === '{' || found === '[') {
      levels.push({ names: found === '{' ? new Set() : null, at: 0 });
    } else if (found === '}' || found === ']') {
      levels.pop();
    } else if (found === ',' && typeof level?.at === 'number') {
      level.at++;
    }
  }
  return undefined;
}
