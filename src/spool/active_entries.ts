import type { DowntimeRecord, WeightRecord } from "./entry.ts";
import type { Subject } from "./names.ts";

/** A downtime, as `/status/downtimes` tells it. */
export interface ActiveDowntime extends Subject, DowntimeRecord {
  /** The name of its record. */
  readonly name: string;
}

/** A weight, as `/status/downtimes` tells it. */
export interface ActiveWeight extends Subject, WeightRecord {
  /** The name that the record of a downtime of the same would have. */
  readonly name: string;
}

/** How much is in force. */
export interface ActiveEntryCounts {
  /** How many downtimes. */
  readonly downtimes: number;
  /** How many weights. */
  readonly weights: number;
}

/** All that an operator has said and that is not over, sorted by name. */
export interface ActiveEntries {
  /** What is down or draining. */
  readonly downtimes: readonly ActiveDowntime[];
  /** What has a weight. */
  readonly weights: readonly ActiveWeight[];
}
