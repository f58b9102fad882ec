import Type from 'typebox';

/**
 * How the gateway behaves:
 * `decline-…` declines; `…-after-capture` captures, then never answers (the connection stays open) or answers 500;
 * `error-before` answers 500 and `rate-limited` 429 without looking at the request.
 */
export const chargeModes = [
  'normal',
  'decline-soft',
  'decline-hard',
  'timeout-after-capture',
  'error-after-capture',
  'error-before',
  'rate-limited',
] as const;

export type ChargeMode = (typeof chargeModes)[number];

/** May change at run time; a request meets those of its arrival. */
export interface SimulatorSettings {
  mode: ChargeMode;
  /** How long a charge takes before it is decided. */
  latencyMs: number;
  /** Share of the charges that are captured, 0 to 1; the rest are soft declines. */
  successRate: number;
}

export const defaultSettings: SimulatorSettings = { mode: 'normal', latencyMs: 500, successRate: 0.7 };

/** Body of `POST /control`: any of the settings. */
export const settingsChange = Type.Object(
  {
    mode: Type.Optional(Type.Enum([...chargeModes])),
    latencyMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 600_000 })),
    successRate: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  },
  { additionalProperties: false },
);
