export { LifecycleError, type LifecycleErrorCode } from './errors.ts';
export type { EventOrigin, Order } from './order.ts';
export { orderOf } from './order.ts';
export {
  createOrderLifecycle,
  type NewOrder,
  type OrderChange,
  type OrderLifecycle,
  type TransitionRequest,
  type TransitionResult,
} from './order-lifecycle.ts';
export { type Decision, decide, type OrderCommand, transitions } from './transitions.ts';
