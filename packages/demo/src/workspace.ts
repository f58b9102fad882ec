const root = new URL('../../../', import.meta.url);

/** Entry of an app, as `node` runs it. */
export const serviceMain = (app: string): URL => new URL(`apps/${app}/src/main.ts`, root);

/** Entry of the operators' command line. */
export const ordersctlMain = new URL('packages/ordersctl/src/main.ts', root);

/** Loaded with `--import` into a service that is to kill itself at a crash point. */
export const killAtHook = new URL('packages/service-runtime/src/testing/kill-at.ts', root);
