/** Every command with the variables that it cannot do without. */
export const commands = [
  { args: ['migrate'], variables: ['DATABASE_URL'] },
  { args: ['topics', 'apply'], variables: ['KAFKA_BROKERS'] },
  { args: ['keys', 'create', '--tenant', 'acme', '--name', 'till'], variables: ['DATABASE_URL'] },
  { args: ['keys', 'revoke', '--id', '00000000-0000-4000-8000-000000000000'], variables: ['DATABASE_URL'] },
  { args: ['grants', 'apply'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'status'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'pause', '--reason', 'maintenance'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'resume'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'adopt-restored', '--yes'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'dead-letters'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'redrive', '--id', '1'], variables: ['DATABASE_URL'] },
  { args: ['relay', 'skip', '--id', '1', '--reason', 'lost'], variables: ['DATABASE_URL'] },
];
