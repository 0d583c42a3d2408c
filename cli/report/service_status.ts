/**
 * What is told of things, marked down or not: the same to people, to scripts and to programs, of this host
 * and of others.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { ALL, byName, parseRecordName, recordName, type Subject } from "../../src/spool/names.ts";
import type {
  ActiveDowntime,
  ActiveEntries,
  ActiveWeight,
} from "../../src/spool/active_entries.ts";
import type { DowntimeRecord, Mode } from "../../src/spool/entry.ts";
import type { LastResponse, RecentService } from "../../src/metrics/stats.ts";
import { type Named, recordLine, upLine } from "./lines.ts";

/** A wider record, which keeps something out of service that is not marked itself. */
export interface Wider {
  /** The name of the record. */
  readonly name: string;
  /** How it marks. */
  readonly state: Mode;
}

/** What is told of one thing. Its keys are those of the JSON that is printed. */
export interface Told extends Subject {
  /** The login name of who wrote the record; missing where it does not say. */
  readonly by?: string;
  /** The name of its record, whether there is one or not. */
  readonly name: string;
  /** How it is marked itself. */
  readonly state: "up" | Mode;
  /** Why; null if it is up. */
  readonly reason: string | null;
  /** When that ends, in unix seconds; null if not by itself. */
  readonly expiration: number | null;
  /** When that began, in unix seconds; null if nobody knows. */
  readonly creation: number | null;
  /** What keeps it out of service although it is not marked itself; null if nothing does. */
  readonly kept_out_by: Wider | null;
  /** The weight that it was given itself; null if none was, or the file does not tell. */
  readonly weight: number | null;
  /** The last answer that a balancer got; null where that is not known. */
  readonly last: LastResponse | null;
}

/** What is known of something beside what marks it. */
export type Beside = Partial<Pick<Told, "kept_out_by" | "weight" | "last">>;

/**
 * What a record says.
 *
 * @param name The name of its file.
 * @param record What stands in it.
 */
export function downtimeOf(name: string, record: DowntimeRecord): ActiveDowntime {
  const { service, port, host } = parseRecordName(name)!;
  return { name, service, port, host, ...record };
}

/**
 * What is told of something that is marked.
 *
 * @param downtime What marks it.
 * @param beside What else is known of it.
 */
export function toldDown(downtime: ActiveDowntime, { weight, last }: Beside = {}): Told {
  const { name, service, port, host, mode, reason, expiration, creation, by } = downtime;
  return {
    ...{ name, service, port, host, state: mode, reason, expiration, creation },
    ...by === undefined ? {} : { by },
    ...{ kept_out_by: null, weight: weight ?? null, last: last ?? null },
  };
}

/**
 * What is told of something that is not marked.
 *
 * @param subject What it is.
 * @param beside What else is known of it.
 */
export function toldUp(
  subject: Subject & Partial<Named>,
  { kept_out_by, weight, last }: Beside = {},
): Told {
  const { service, port, host, name = recordName(subject) } = subject;
  return {
    ...{ name, service, port, host, state: "up", reason: null, expiration: null, creation: null },
    ...{ kept_out_by: kept_out_by ?? null, weight: weight ?? null, last: last ?? null },
  };
}

/**
 * What keeps something out of service that is not marked itself: what is down before what drains, as the
 * daemon has it.
 *
 * @param subject What it is.
 * @param modeOf Tells how the record of a name marks; undefined where there is none.
 */
export function widerThan(
  { service, port, isPortZero = false }: Subject,
  modeOf: (name: string) => Mode | undefined,
): Wider | null {
  const names = [];
  if (service !== ALL) names.push(ALL);
  if (port !== 0 || isPortZero) names.push(service);
  let found: Wider | null = null;
  for (const name of names) {
    const state = modeOf(name);
    if (state === "down") return { name, state };
    if (state !== undefined) found ??= { name, state };
  }
  return found;
}

/**
 * What is told of something that was just marked: what that says, and nothing beside it.
 *
 * @param told What is told of it.
 */
export function changeOf(told: Told): Partial<Told> {
  const { kept_out_by: _, weight: __, last: ___, ...change } = told;
  return change;
}

/**
 * How something is marked, in words.
 *
 * @param wider What it is.
 */
export function inWords({ name, state }: Wider): string {
  return state === "drain" ? `${name} is draining` : `${name} is marked down`;
}

/**
 * What is told of the things that are named.
 *
 * @param subjects What they are.
 * @param inForce All that an operator has said.
 */
export function toldOfNamed(subjects: readonly Subject[], inForce: ActiveEntries): Told[] {
  const { modeOf, downtimes, weights } = lookUps(inForce);
  return subjects.map((subject) => {
    const name = recordName(subject);
    const weight = weights.get(name)?.weight ?? null;
    const downtime = downtimes.get(name);
    if (downtime !== undefined) return toldDown(downtime, { weight });
    return toldUp(subject, { kept_out_by: widerThan(subject, modeOf), weight });
  });
}

/**
 * What is told where nothing is named: all that an operator has said, sorted by name, and what balancers
 * ask for beside it.
 *
 * @param inForce All that an operator has said.
 * @param recent What was asked for lately.
 */
export function toldOfAll(inForce: ActiveEntries, recent: readonly RecentService[]): Told[] {
  const { modeOf, downtimes, weights } = lookUps(inForce);
  const asked = new Map(recent);
  const lastOf = ({ service, port }: Subject) => port === 0 ? asked.get(service) ?? null : null;
  const others = new Map<string, Subject & Named>(recent.map(([service]) => {
    return [service, { name: service, service, port: 0, host: LOCAL_ADDRESS }];
  }));
  for (const { name, service, port, host } of inForce.weights) {
    others.set(name, { name, service, port, host });
  }
  for (const name of downtimes.keys()) others.delete(name);
  return [
    ...inForce.downtimes.toSorted(byName).map((downtime) => {
      const weight = weights.get(downtime.name)?.weight ?? null;
      return toldDown(downtime, { weight, last: lastOf(downtime) });
    }),
    ...[...others.values()].map((subject) => {
      const weight = weights.get(subject.name)?.weight ?? null;
      const kept_out_by = widerThan(subject, modeOf);
      return toldUp(subject, { kept_out_by, weight, last: lastOf(subject) });
    }).sort(byName),
  ];
}

function lookUps({ downtimes, weights }: ActiveEntries): {
  downtimes: Map<string, ActiveDowntime>;
  weights: Map<string, ActiveWeight>;
  modeOf: (name: string) => Mode | undefined;
} {
  const marked = new Map(downtimes.map((downtime) => [downtime.name, downtime]));
  return {
    downtimes: marked,
    weights: new Map(weights.map((weight) => [weight.name, weight])),
    modeOf: (name) => marked.get(name)?.mode,
  };
}

/**
 * Whether the last check of something that is not marked failed: HAProxy takes 2xx and 3xx for up.
 *
 * @param told What is told of it.
 */
export function isFailing({ state, kept_out_by, last }: Told): boolean {
  return state === "up" && kept_out_by === null && last !== null && last.code >= 400;
}

/**
 * The line of something, as the older tools print it.
 *
 * @param told What is told of it.
 * @param typedHost The host as it was typed; null if none was.
 */
export function oldLineOf(told: Told, typedHost: string | null): string {
  const { state, service, port } = told;
  if (state === "up") return `UP\t${service}`;
  const line = lineOf(told).split("\t");
  if (typedHost !== null) line[2] = `${service}:${typedHost}:${port}`;
  return line.join("\t");
}

/**
 * The line of something, as scripts read it.
 *
 * @param told What is told of it.
 */
export function lineOf(told: Told): string {
  const { state, reason, ...rest } = told;
  if (state === "up") return upLine(told);
  return recordLine(told, { ...rest, mode: state, reason: reason ?? "" });
}
