/** How often the daemon itself was at fault since its start. */
export interface InternalErrorCounters {
  /** Checks that failed by themselves: neither did the service answer, nor could it be said why not. */
  checks: number;
  /** Changes of the spool by POST that could not be made. */
  spool_changes: number;
  /** Faults that nobody had foreseen. */
  unforeseen: number;
  /** Lines that the log could not take. */
  lost_log_lines: number;
}

/**
 * Begins to count.
 *
 * @returns Counts, all of them zero.
 */
export function newInternalErrorCounters(): InternalErrorCounters {
  return { checks: 0, spool_changes: 0, unforeseen: 0, lost_log_lines: 0 };
}
