export { DevStackError, type DevStackErrorCode } from './errors.ts';
export { freePort } from './free-port.ts';
export {
  type ChargeMode,
  type GatewaySimulator,
  type GatewaySimulatorOptions,
  type LedgerEntry,
  type SimulatorSettings,
  startGatewaySimulator,
} from './gateway-simulator/index.ts';
export { pnpmCommand } from './pnpm-command.ts';
export {
  type LogLine,
  type ServiceExit,
  type ServiceOptions,
  type ServiceProcess,
  startService,
} from './service-process.ts';
export { type AcquireOptions, acquireDevStack, type DevStack, stopDevStack } from './stack.ts';
export { waitFor } from './wait-for.ts';
