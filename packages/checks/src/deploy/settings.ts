import { type Environment, ofKind } from './environment.ts';
import type { Container } from './workloads.ts';

/** What the manifests do not hold stands for itself; the database's has a form that is checked. */
const secretValues: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres://role:password@postgres:5432/orders',
};

/** The environment that a container would have, and the names that it would have twice. */
export function settingsOf(
  environment: Environment,
  { env = [], envFrom = [] }: Container,
): { settings: Record<string, string>; twice: string[] } {
  const maps = envFrom.map(({ configMapRef }) =>
    ofKind(environment, 'ConfigMap').find(({ object }) => object.metadata.name === configMapRef?.name),
  );
  const entries = [
    ...maps.flatMap((map) => Object.entries(map?.object.data ?? {})),
    ...env.map(({ name, value }) => [name, value ?? secretValues[name] ?? 'secret'] as const),
  ];
  const names = entries.map(([name]) => name);
  const twice = [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
  return { settings: Object.fromEntries(entries), twice };
}
