/** Something a check of the supply chain objects to. */
export interface Finding {
  rule: string;
  /** From the root; a line follows where one is known. */
  where: string;
  /** What is wrong and what to do. */
  message: string;
}
