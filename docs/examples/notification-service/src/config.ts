/** Read once, at the start. */
export const config = {
  databaseUrl: required('DATABASE_URL'),
  kafkaBrokers: required('KAFKA_BROKERS').split(','),
  ordersTopic: process.env.ORDERS_TOPIC ?? 'orders.events',
  notificationsTopic: process.env.NOTIFICATIONS_TOPIC ?? 'notifications.events',
  groupId: process.env.GROUP_ID ?? 'notification-service',
  port: Number(process.env.PORT ?? 3001),
};

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
