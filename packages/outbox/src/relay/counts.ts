/** Counted since the start of the process. */
export interface RelayCounts {
  /** Events acknowledged by the broker. */
  published: number;
  /** Events marked in the table. */
  marked: number;
  /** Events whose mark was refused because their bucket had gone to another owner or epoch. */
  fenced: number;
  /** Events that were read and then left, because the lease had run out, the bucket was lost, or a pause had begun. */
  dropped: number;
  /** Events that the broker will never take; they are in `outbox_dead_letters`. */
  deadLettered: number;
}
