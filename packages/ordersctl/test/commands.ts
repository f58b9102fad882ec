/** Every command with the variables that it cannot do without. */
export const commands = [
  { args: ['migrate'], variables: ['DATABASE_URL'] },
  { args: ['topics', 'apply'], variables: ['KAFKA_BROKERS'] },
  { args: ['keys', 'create', '--tenant', 'acme', '--name', 'till'], variables: ['DATABASE_URL'] },
];
