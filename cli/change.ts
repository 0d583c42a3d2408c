import {
  type DowntimeRecord,
  type Entry,
  FULL_WEIGHT,
  type WeightRecord,
} from "../src/spool/entry.ts";
import { recordName, type Subject } from "../src/spool/names.ts";
import { downFields, upFields } from "./report/service_status.ts";

/** What a change writes. */
type Wanted<E extends Entry> = Omit<E, "creation" | "by">;

/** A change of the records or the weights of services. */
export type Change =
  | { readonly kind: "downtime"; readonly entry: Wanted<DowntimeRecord> | null }
  | { readonly kind: "weight"; readonly entry: Wanted<WeightRecord> | null };

/**
 * Describes a change in messages.
 *
 * @param change The change; an entry of null removes the present one.
 * @param name The name of the record.
 */
export function describeChange({ kind, entry }: Change, name: string): string {
  if (kind === "weight") return `change the weight of ${name}`;
  return `${entry === null ? "remove" : "write"} the record of ${name}`;
}

/**
 * Returns the JSON of a change.
 *
 * @param kind What was changed.
 * @param changed The services, each with its new entry; null if it was removed.
 */
export function changeJson(
  kind: Change["kind"],
  changed: readonly (readonly [subject: Subject, entry: Entry | null])[],
): Record<string, unknown> {
  if (kind === "weight") {
    const none = { weight: FULL_WEIGHT, reason: "", expiration: null, creation: null };
    return {
      weights: changed.map(([subject, entry]) => {
        return { name: recordName(subject), ...subject, ...entry ?? none };
      }),
    };
  }
  return {
    services: changed.map(([subject, entry]) =>
      entry === null || "weight" in entry
        ? upFields(subject)
        : downFields(recordName(subject), entry)
    ),
  };
}
