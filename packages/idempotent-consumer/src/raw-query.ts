/** A statement as Kysely's `executeQuery` takes it; it fits Kysely's `CompiledQuery` without needing its types. */
export interface RawQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: {
    readonly kind: 'RawNode';
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly never[];
  };
  readonly queryId: { readonly queryId: string };
}

/** A statement for `executeQuery`. */
export function rawQuery(sql: string, parameters: readonly unknown[] = []): RawQuery {
  return {
    sql,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'idempotent-consumer' },
  };
}
