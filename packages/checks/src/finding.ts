/** Something that a check of files objects to. */
export interface Finding {
  rule: string;
  /** From the root; a line follows where one is known. */
  where: string;
  /** What is wrong and what to do. */
  message: string;
}
