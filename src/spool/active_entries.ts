import type { DowntimeRecord, WeightRecord } from "./entry.ts";
import type { Subject } from "./names.ts";

/** A record that has not expired, as `/status/downtimes` reports it. */
export interface ActiveDowntime extends Subject, DowntimeRecord {
  /** The name of its file. */
  readonly name: string;
}

/** A weight that has not expired, as `/status/downtimes` reports it. */
export interface ActiveWeight extends Subject, WeightRecord {
  /** The name of its file without the prefix, which is the name of a record of the same subject. */
  readonly name: string;
}

/** The number of records and weights that have not expired. */
export interface ActiveEntryCounts {
  /** How many records. */
  readonly downtimes: number;
  /** How many weights. */
  readonly weights: number;
}

/** The records and weights that have not expired, sorted by name. */
export interface ActiveEntries {
  /** The records: what is down or draining. */
  readonly downtimes: readonly ActiveDowntime[];
  /** The weights. */
  readonly weights: readonly ActiveWeight[];
}
