import { join } from 'node:path';

/**
 * Lets all processes that we start keep what Node has compiled: tests start hundreds, and each would strip the types
 * of the same files anew. A cache that is named already stays the one.
 */
export function shareCompileCache(root: string): void {
  process.env.NODE_COMPILE_CACHE ||= join(root, 'node_modules/.cache/compile');
}
