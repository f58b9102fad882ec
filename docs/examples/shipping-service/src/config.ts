/** Read once, at the start. */
export const config = {
  databaseUrl: required('DATABASE_URL'),
  kafkaBrokers: required('KAFKA_BROKERS').split(','),
  topic: process.env.SHIPMENTS_TOPIC ?? 'shipments.events',
  port: Number(process.env.PORT ?? 3000),
};

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
