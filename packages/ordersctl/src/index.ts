export { OrdersctlError, type OrdersctlErrorCode } from './errors.ts';
export type { CommonOptions, Output } from './output.ts';
export { exitStatus, runCommandLine } from './program.ts';
export { type AppliedTopic, applyTopics } from './topics.ts';
