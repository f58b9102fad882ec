import { parseAst } from 'vitest/node';

/** What the floors need to know of one module. */
export interface ModuleFacts {
  /** Every module it names: static, dynamic and type imports, re-exports, require, import.meta.resolve, mocks. */
  references: { specifier: string; line: number }[];
  /** Lines of dynamic imports whose module cannot be read off. */
  computedImports: number[];
  /** Lines on which the environment is read. */
  environmentReads: number[];
}

/** A node of the syntax tree (ESTree with TypeScript's additions), as far as it is looked at here. */
interface Node {
  type: string;
  start: number;
  [field: string]: unknown;
}

/**
 * Reads a TypeScript module with the parser that vitest brings along. A real parser, because a check that misses
 * a form of import would hold for the wrong reason. Throws a SyntaxError when the text is no module.
 */
export function readModule(text: string, fileName: string): ModuleFacts {
  const facts: ModuleFacts = { references: [], computedImports: [], environmentReads: [] };
  const lang = /x$/.test(fileName) ? 'tsx' : 'ts';
  const program = parseAst(text, { lang, astType: 'ts' }, fileName) as unknown as Node;
  visit(program, (node) => {
    const line = lineAt(text, node.start);
    const specifiers = specifiersOf(node);
    for (const specifier of specifiers) facts.references.push({ specifier, line });
    if (node.type === 'ImportExpression' && specifiers.length === 0) facts.computedImports.push(line);
    if (readsEnvironment(node)) facts.environmentReads.push(line);
  });
  return facts;
}

function visit(node: Node, see: (node: Node) => void): void {
  see(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, see);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

const moduleCalls = new Set([
  'require',
  'require.resolve',
  'import.meta.resolve',
  ...['mock', 'doMock', 'unmock', 'importActual', 'importMock'].map((name) => `vi.${name}`),
]);

function specifiersOf(node: Node): string[] {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return textOf(node.source);
    case 'TSExternalModuleReference':
      return textOf(node.expression);
    case 'CallExpression':
      return moduleCalls.has(pathOf(node.callee)) ? textOf((node.arguments as unknown[])[0]) : [];
    default:
      return [];
  }
}

/** The text of a string, or of a template without gaps; a computed one cannot be judged here. */
function textOf(value: unknown): string[] {
  if (!isNode(value)) return [];
  if (value.type === 'Literal' && typeof value.value === 'string') return [value.value];
  const quasis = value.type === 'TemplateLiteral' ? (value.quasis as { value: { cooked: string } }[]) : [];
  return quasis.length === 1 ? quasis.map((quasi) => quasi.value.cooked) : [];
}

/** `a.b.c` of a member expression; empty for anything else. */
function pathOf(value: unknown): string {
  if (!isNode(value)) return '';
  if (value.type === 'Identifier') return value.name as string;
  if (value.type === 'MetaProperty') return 'import.meta';
  if (value.type !== 'MemberExpression') return '';
  const [property = ''] = value.computed ? textOf(value.property) : [pathOf(value.property)];
  return `${pathOf(value.object)}.${property}`;
}

/** `process.env`, `{ env } = process` and the import of `env` from node:process; the object by any path. */
function readsEnvironment(node: Node): boolean {
  if (node.type === 'MemberExpression') return /(^|\.)process\.env$/.test(pathOf(node));
  if (node.type === 'VariableDeclarator')
    return /(^|\.)process$/.test(pathOf(node.init)) && hasEnv(node.id, 'properties', 'key');
  if (node.type === 'ImportDeclaration')
    return (
      ['node:process', 'process'].includes(textOf(node.source)[0] ?? '') &&
      hasEnv(node, 'specifiers', 'imported')
    );
  return false;
}

function hasEnv(node: unknown, list: string, name: string): boolean {
  const entries = isNode(node) && Array.isArray(node[list]) ? (node[list] as unknown[]) : [];
  return entries.some((entry) => isNode(entry) && pathOf(entry[name]) === 'env');
}
