/** What can go wrong in this package. */
export type DbErrorCode =
  | 'DB_URL_INVALID' // the database URL cannot be read
  | 'DB_PASSWORD_MISSING' // the server asks for a password and the URL has none
  | 'DB_TRANSACTION_ABORTED' // a statement had failed, its error was swallowed, and COMMIT rolled back
  | 'DB_COMMIT_UNKNOWN' // the connection was lost during COMMIT: the transaction may or may not stand
  | 'DB_MIGRATION_FAILED' // the message names the migration and the reason
  | 'DB_MIGRATION_LOCKED' // somebody else has been migrating for longer than we are willing to wait
  | 'DB_SCHEMA_MISSING' // search_path names no schema that is there
  | 'DB_SCHEMA_BEHIND' // a migration that this program needs has not been applied
  | 'DB_APP_TOO_OLD' // a contract migration has removed what this program needs
  | 'DB_API_KEY_UNKNOWN' // no key has this id
  | 'DB_ROLE_MISSING' // a role of a service, or a membership; the message has the statements that make them
  | 'DB_RIGHTS_MISSING' // a service's role may not do all that the service does
  | 'DB_INTEGER_UNSAFE'; // a bigint that a JavaScript number cannot hold

/** Error of this package; `code` is stable, `cause` is what PostgreSQL or the driver said. */
export class DbError extends Error {
  readonly code: DbErrorCode;

  constructor(code: DbErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DbError';
    this.code = code;
  }
}
