import { databaseConfig, kafkaConfig, loadConfig, serviceConfig } from '@orders/service-runtime';
import { Type } from 'typebox';

const Config = Type.Object({
  ...serviceConfig,
  ...databaseConfig,
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535 }),
  HOST: Type.String({ default: '0.0.0.0', minLength: 1 }),
  ORDERS_TOPIC: kafkaConfig.ORDERS_TOPIC,
  /** A revoked API key works for at most this long. */
  API_KEY_REMEMBER_MS: Type.Integer({ default: 10_000, minimum: 0, maximum: 300_000 }),
  /** After SIGTERM requests are still served for this long, for load balancers to notice that we are not ready. */
  DRAIN_DELAY_MS: Type.Integer({ default: 500, minimum: 0, maximum: 60_000 }),
});

/** The environment, validated and frozen. @throws ConfigError naming every problem */
export const readConfig = () => loadConfig(Config);
