import type { Manifest } from './manifests.ts';
import { type Workload, workloadsOf } from './workloads.ts';

/** Everything that is deployed together, as the policies see it. */
export interface Environment {
  name: string;
  manifests: readonly Manifest[];
  workloads: readonly Workload[];
}

/** @param name of the folder in `infra/k8s` */
export const createEnvironment = (name: string, manifests: readonly Manifest[]): Environment => ({
  name,
  manifests,
  workloads: workloadsOf(manifests),
});

/** All objects of a kind. */
export const ofKind = ({ manifests }: Environment, kind: string): Manifest[] =>
  manifests.filter(({ object }) => object.kind === kind);
