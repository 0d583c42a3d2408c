/**
 * Why services are out, for people: records, failing checks and what changed.
 *
 * @module
 */

import { FAILURE_REASONS, type FailureReason } from "../../src/checks/check.ts";
import { hostPort } from "../../src/net/addresses.ts";
import type { ActiveDowntime } from "../../src/spool/active_entries.ts";
import { ALL } from "../../src/spool/names.ts";
import { oneLine } from "../../src/text/control_characters.ts";
import type { Change, CheckReport, CheckRun, Phases } from "../daemons/outcomes.ts";
import { age, localTime } from "./times.ts";

/** What a daemon reports about services. */
export interface Explanation {
  /** The records in force. */
  readonly downtimes: readonly ActiveDowntime[];
  /** The checks that balancers asked for lately. */
  readonly checks: readonly CheckReport[];
  /** How many more checks there are, which the daemon does not list. */
  readonly checks_left_out: number;
  /** The last changes, newest first. */
  readonly changes: readonly Change[];
}

/** How many changes are printed below a service. */
const MAX_CHANGES_SHOWN = 10;

/** Whether a record keeps out what a check is about. */
function isPlanned({ service, port }: CheckReport, downtimes: readonly ActiveDowntime[]): boolean {
  return downtimes.some((record) =>
    record.name === ALL ||
    (record.service === service && (record.port === 0 || record.port === port))
  );
}

/**
 * Explains all that is not well: unplanned failures first, then records.
 *
 * @param explanation What the daemon reports.
 * @param now The time in unix seconds.
 */
export function explainAll(
  { downtimes, checks, checks_left_out }: Explanation,
  now: number,
): string[] {
  const failing = checks.filter(({ state }) => state === "down");
  const planned = failing.filter((check) => isPlanned(check, downtimes));
  const unplanned = failing.filter((check) => !planned.includes(check));
  const good = checks.length - failing.length;
  return [
    ...unplanned.map((check) => failingLine(check, now)),
    ...downtimes.map((record) => recordLine(record, now)),
    ...planned.map((check) => `${failingLine(check, now)} (a record keeps it out anyway)`),
    good === 1 ? "1 check is good" : `${good} ${failing.length > 0 ? "other " : ""}checks are good`,
    ...leftOut(checks_left_out, "listed"),
  ];
}

/**
 * Explains the state of one service.
 *
 * @param service Its name.
 * @param explanation What the daemon reports about it.
 * @param now The time in unix seconds.
 */
export function explainService(
  service: string,
  { downtimes, checks, checks_left_out, changes }: Explanation,
  now: number,
): string[] {
  const failing = checks.filter(({ state }) => state === "down");
  const good = checks.filter(({ state }) => state === "up");
  return [
    ...downtimes.map((record) => recordLine(record, now)),
    ...failing.flatMap((check) => [failingLine(check, now), ...failuresOf(check)]),
    ...good.map((check) =>
      oneLine(
        `${check.service}: UP by its ${nameOf(check)}: ${check.last.code} ${
          since(check.since, now)
        }`,
      )
    ),
    ...checks.length > 0
      ? []
      : [`${service}: no check of a balancer has run within the last ten minutes`],
    ...leftOut(checks_left_out, "listed"),
    ...changes.length === 0 ? [] : ["last changes:"],
    ...changes.slice(0, MAX_CHANGES_SHOWN).map((change) => `  ${changeLine(change)}`),
  ];
}

/**
 * Reports checks that a daemon left out.
 *
 * @param count How many.
 * @param verb What the daemon did not do with them.
 */
export function leftOut(count: number, verb: "listed" | "run"): string[] {
  if (count === 0) return [];
  return [count === 1 ? `1 more check was not ${verb}` : `${count} more checks were not ${verb}`];
}

/**
 * Formats a change as one line.
 *
 * @param change The change.
 */
export function changeLine(change: Change): string {
  const time = localTime(change.at);
  if (change.kind === "check") {
    const { service, from, to, reason, message, changes } = change;
    const states = from === null || from === to ? to : `${from} to ${to}`;
    const why = reason === null ? "" : ` (${reason})`;
    const flapping = changes > 1 ? `, ${changes} changes` : "";
    return oneLine(
      `${time}  ${service}  ${nameOf(change)}: ${states}${why}${flapping}: ${message}`,
    );
  }
  const { name, to, weight, reason, by, until, source, client, why } = change;
  const kept = to === "weight" ? `weight ${weight === null ? "invalid" : `${weight}%`}` : to;
  const what = why === null ? kept : why === "lifted" ? "record removed" : "record expired";
  const author = by === null || why !== null ? "" : ` by ${by}`;
  const expiry = until === null || why !== null ? "" : ` until ${localTime(until)}`;
  const because = reason === "" || why !== null ? "" : `: ${reason}`;
  const origin = client === null ? source : `${source} from ${client}`;
  return oneLine(`${time}  ${name}  ${what}${author}${expiry}${because} (${origin})`);
}

/**
 * Formats what happened when a check ran, step by step.
 *
 * @param run The run.
 * @param now The time in unix seconds.
 */
export function explainRun(run: CheckRun, now: number): string[] {
  const { record, cached, verdict } = run;
  const { code, reason, message, milliseconds: phases, tls } = verdict;
  const step = (name: string, text: string) => `  ${name.padEnd(12)}${oneLine(text)}`;
  const timed = (name: string, time: number | null, text = "") =>
    time === null ? [] : [step(name, `${time.toFixed(1)} ms${text}`)];
  const session = tls === null
    ? ""
    : `, ${tls.version}, certificate of ${tls.subject || "no name"}, expires ${
      localTime(tls.expires)
    } (${Math.floor((tls.expires - now) / 86_400)} days)`;
  const [firstLine = ""] = message.split(/[\r\n]/);
  return [
    oneLine(`${run.service}: ${nameOf(run)}`),
    step("record", record === null ? "none" : `${record.name}: ${record.mode}: ${record.reason}`),
    step(
      "cache",
      cached === null
        ? "none"
        : `${cached.code} from ${age(now - cached.at)} ago, for another ${age(cached.for_seconds)}`,
    ),
    ...timed("queue", phases.queue),
    ...timed("connect", phases.connect),
    ...timed("TLS", phases.tls, session),
    ...timed("first byte", phases.first_byte),
    ...timed("rest", phases.rest),
    ...timed("total", phases.total),
    step("status", `${code}${reason === null ? "" : `: ${meaningOf(reason)}`}`),
    step("first line", firstLine),
  ];
}

function recordLine(record: ActiveDowntime, now: number): string {
  const { name, mode, reason, creation, expiration, by } = record;
  const author = by === undefined ? "" : `, by ${by}`;
  const start = creation === null ? "" : ` ${since(creation, now)}`;
  const end = expiration === null ? "" : `, until ${localTime(expiration)}`;
  const because = reason === "" ? "" : `: ${reason}`;
  return oneLine(
    `${record.service}: ${mode.toUpperCase()} by record ${name}${start}${end}${author}${because}`,
  );
}

function failingLine(check: CheckReport, now: number): string {
  const { service, since: start, last } = check;
  const why = last.reason === null ? String(last.code) : meaningOf(last.reason);
  return oneLine(`${service}: FAILING its ${nameOf(check)} ${since(start, now)}: ${why}`);
}

/** The last failures of a check, and its last success. */
function failuresOf({ failures, last_good }: CheckReport): string[] {
  return [
    ...failures.map(({ at, reason, code, message, milliseconds }) =>
      oneLine(`  ${localTime(at)}  ${reason ?? code}  ${phasesOf(milliseconds)}  ${message}`)
    ),
    last_good === null
      ? "  it has not been good since the daemon knows it"
      : `  ${localTime(last_good.at)}  good: ${last_good.code}`,
  ];
}

function phasesOf({ queue, connect, tls, first_byte, rest }: Phases): string {
  const parts = Object.entries({ queue, connect, tls, "first byte": first_byte, rest })
    .flatMap(([name, time]) => time === null || time < 0.05 ? [] : [`${name} ${time.toFixed(1)}`]);
  return `${parts.length === 0 ? "0" : parts.join(" + ")} ms`;
}

function nameOf(
  { protocol, host, port, path }: Pick<CheckReport, "protocol" | "host" | "port" | "path">,
): string {
  return `${protocol} check of ${hostPort(host, port)}${path === "/" ? "" : path}`;
}

function since(time: number, now: number): string {
  return `since ${localTime(time)} (${age(now - time)} ago)`;
}

/** Returns a reason with its meaning. A newer daemon may have others. */
function meaningOf(reason: string): string {
  const meaning = FAILURE_REASONS[reason as FailureReason];
  return meaning === undefined ? reason : `${reason}: ${meaning}`;
}
