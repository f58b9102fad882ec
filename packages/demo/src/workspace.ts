/** The checkout that this file belongs to. */
const thisCheckout = new URL('../../../', import.meta.url);

/** Entry of an app, as `node` runs it, of this checkout or of another. */
export const serviceMain = (app: string, checkout = thisCheckout): URL =>
  new URL(`apps/${app}/src/main.ts`, checkout);

/** Entry of the operators' command line. */
export const ordersctlMain = (checkout = thisCheckout): URL =>
  new URL('packages/ordersctl/src/main.ts', checkout);

/** Loaded with `--import` into a service that is to kill itself at a crash point. */
export const killAtHook = new URL('packages/service-runtime/src/testing/kill-at.ts', thisCheckout);
