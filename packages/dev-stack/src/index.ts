export { DevStackError, type DevStackErrorCode } from './errors.ts';
export { freePort } from './free-port.ts';
export { type AcquireOptions, acquireDevStack, type DevStack, stopDevStack } from './stack.ts';
