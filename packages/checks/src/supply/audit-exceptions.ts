/** A known vulnerability that the audit lets pass for a while. */
export interface AuditException {
  /** GHSA-xxxx-xxxx-xxxx */
  advisory: string;
  /** The package's name. */
  package: string;
  /** Why it does no harm here, or what is waited for. */
  reason: string;
  /** YYYY-MM-DD: the last day on which it passes. At most 90 days ahead. */
  expires: string;
}

/** Every entry is shown at each audit. One that has ended, or that nothing asks for any more, fails the audit. */
export const auditExceptions: readonly AuditException[] = [];
