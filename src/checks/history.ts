import type { Log } from "../log/log.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { type Entry, FULL_WEIGHT, isExpired, type Mode } from "../spool/entry.ts";
import { parseRecordName, parseWeightName, WEIGHT_PREFIX } from "../spool/names.ts";
import type { FailureReason } from "./check.ts";
import type { CheckIdentity, CheckState, OutcomeChange } from "./outcomes.ts";

/** How many changes are kept. */
export const MAX_CHANGES = 1000;

/** How long further changes of a check are only counted, in milliseconds. */
export const FLAPPING_MS = 10_000;

/** How many lines of changes are logged within a second. */
export const MAX_LINES_PER_SECOND = 1000;

/** How many checks with changes, and how many changes of records, are remembered to recognize repetitions. */
const MAX_REMEMBERED = 16_384;

/** Within which time workers may report the same change, in milliseconds. */
const REPETITION_MS = 5000;

/** How many characters of a reason are kept. */
const MAX_REASON_KEPT = 500;

/** What changed a record: a program on this host, a POST, or the fleet. */
export type ChangeSource = "spool" | "post" | "fleet";

/** A change of a record or of a weight. */
export interface RecordChange {
  readonly kind: "record";
  /** When, in unix seconds. */
  readonly at: number;
  /** The name of the record, or of a record of what the weight is for. */
  readonly name: string;
  /** The service; `all` for all. */
  readonly service: string;
  /** What it is now. */
  readonly to: Mode | "up" | "weight";
  /** The weight, from 0 to 100; null for a record, and for a weight that is invalid. */
  readonly weight: number | null;
  /** Why, in the words of its author. */
  readonly reason: string;
  /** The login name of its author; null if unknown. */
  readonly by: string | null;
  /** When its author created it, in unix seconds; null if unknown. */
  readonly creation: number | null;
  /** When it expires, in unix seconds; null if never. */
  readonly until: number | null;
  /** Where the change came from. */
  readonly source: ChangeSource;
  /** The client that changed it by POST; null for other sources. */
  readonly client: string | null;
  /** Why the record is no longer in force: it was removed, or has expired; null if it is in force. */
  readonly why: "lifted" | "expired" | null;
}

/** A change of the outcome of a check. */
export interface CheckChange extends CheckIdentity {
  readonly kind: "check";
  /** When, in unix seconds. */
  readonly at: number;
  /** The state before; null if the first run failed. */
  readonly from: CheckState | null;
  /** The state now. */
  readonly to: CheckState;
  /** The status code of the verdict. */
  readonly code: number;
  /** Why the check failed; null if it did not. */
  readonly reason: FailureReason | null;
  /** The first line of the message. */
  readonly message: string;
  /** The address that was checked. */
  readonly address: string;
  /** How often the state changed since the last change that was kept; more than 1 if it flaps. */
  readonly changes: number;
}

/** A change, before it is kept. */
export type NewChange = RecordChange | CheckChange;

/** A change that is kept. Its number grows by one with each change since the start of the daemon. */
export type Change = NewChange & { readonly id: number };

/** The changes that a worker knows of, and those who make them. */
export interface ChangeSink {
  /** Adds a change. */
  add(change: NewChange): void;
  /** Attributes changes of a record to a client that makes them by POST, until it is called with null. */
  announce(name: string, client: string | null): void;
}

/** A check whose state has changed lately. */
interface Flapping {
  /** The state of the last change that was kept. */
  readonly kept: CheckState;
  /** Until when changes are only counted, by the clock. */
  readonly until: number;
  /** How many there were since then. */
  changes: number;
  /** The last of these; null if there was none. */
  latest: CheckChange | null;
}

/**
 * The last changes of records and of the outcomes of checks. Each is logged with one line.
 *
 * All workers report the changes that they see. A change that several report is kept once. While a check flaps, one
 * change is kept for all within {@linkcode FLAPPING_MS}.
 */
export class History implements ChangeSink, Disposable {
  readonly #log: Log;
  readonly #isShared: boolean;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #changes: Change[] = [];
  /** The checks that changed lately, in the order of their ends. */
  readonly #flapping = new Map<string, Flapping>();
  #cancelFlapping: (() => void) | undefined;
  /** The states that workers have reported. */
  readonly #states = new Map<string, CheckState>();
  /** The changes of records that a worker has reported, and when. */
  readonly #reported = new Map<string, number>();
  /** The clients that are changing records. */
  readonly #announced = new Map<string, string>();
  #lastId = 0;
  #second = 0;
  #lines = 0;
  #unlogged = 0;

  /**
   * @param log Where changes are logged.
   * @param isShared Whether several workers report changes.
   * @param clock The clock.
   */
  constructor(log: Log, isShared: boolean, clock: Clock = systemClock) {
    this.#log = log;
    this.#isShared = isShared;
    this.#clock = clock;
  }

  /** Adds a change, unless another worker has reported it. */
  add(change: NewChange): void {
    if (change.kind === "record") this.#addRecord(change);
    else this.#addCheck(change);
  }

  /** Attributes changes of a record to a client until that ends. */
  announce(name: string, client: string | null): void {
    if (client === null) this.#announced.delete(name);
    else keepNewest(this.#announced, name, client);
  }

  /**
   * Returns changes, newest first.
   *
   * @param after The number of the last change that is not wanted.
   * @param service The service that they are about; null for all. Changes of `all` are about each service.
   */
  changes(after: number, service: string | null): Change[] {
    return this.#changes.filter((change) =>
      change.id > after &&
      (service === null || change.service === service ||
        (change.kind === "record" && change.name === "all"))
    ).reverse();
  }

  /** Ends all timers. */
  [Symbol.dispose](): void {
    this.#cancelFlapping?.();
  }

  #addRecord(change: RecordChange): void {
    if (this.#isShared && this.#isRepetition(change)) return;
    const client = this.#announced.get(change.name);
    const isByPost = client !== undefined && change.why !== "expired";
    this.#keep(isByPost ? { ...change, source: "post", client } : change);
  }

  /** Another downtime of the same name and reason has another creation time. */
  #isRepetition({ at: _, ...change }: RecordChange): boolean {
    const signature = JSON.stringify(change);
    const now = this.#clock.now();
    const reportedAt = this.#reported.get(signature) ?? -Infinity;
    keepNewest(this.#reported, signature, now);
    return now - reportedAt < REPETITION_MS;
  }

  #addCheck(change: CheckChange): void {
    const { service, protocol, host, port, path, from, to } = change;
    const key = JSON.stringify([service, protocol, host, port, path]);
    if (this.#isShared) {
      if (this.#states.get(key) === to) return;
      keepNewest(this.#states, key, to);
    }
    const check = this.#flapping.get(key);
    if (check === undefined) return this.#keepCheck(key, change, from, 1);
    check.latest = change;
    check.changes++;
  }

  /** Keeps a change of a check, and only counts those that follow for a while. */
  #keepCheck(key: string, latest: CheckChange, from: CheckState | null, changes: number): void {
    this.#keep({ ...latest, from, changes });
    const until = this.#clock.now() + FLAPPING_MS;
    keepNewest(this.#flapping, key, { kept: latest.to, latest: null, changes: 0, until });
    this.#cancelFlapping ??= this.#clock.after(FLAPPING_MS, () => this.#endFlapping());
  }

  #endFlapping(): void {
    this.#cancelFlapping = undefined;
    const now = this.#clock.now();
    for (const [key, { latest, kept, changes, until }] of this.#flapping) {
      if (until > now) {
        this.#cancelFlapping ??= this.#clock.after(until - now, () => this.#endFlapping());
        return;
      }
      this.#flapping.delete(key);
      if (latest !== null) this.#keepCheck(key, latest, kept, changes);
    }
  }

  #keep(change: NewChange): void {
    this.#changes.push({ id: ++this.#lastId, ...change });
    if (this.#changes.length > MAX_CHANGES) this.#changes.shift();
    const second = Math.floor(this.#clock.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
      if (this.#unlogged > 0) {
        this.#log.info("{count} more changes were not logged", { count: this.#unlogged });
        this.#unlogged = 0;
      }
    }
    if (this.#lines++ >= MAX_LINES_PER_SECOND) this.#unlogged++;
    else if (change.kind === "record") logRecord(this.#log, change);
    else logCheck(this.#log, change);
  }
}

/** Sets a key of a map that is in the order of the last changes, and drops the oldest of too many. */
function keepNewest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value!);
}

function logRecord(log: Log, change: RecordChange): void {
  const { to, why, weight, by, until, client, source } = change;
  const kept = to === "weight" ? `weight ${weight === null ? "invalid" : `${weight}%`}` : to;
  log.info(
    "record {name}: {what}{author}{expiry}{because} ({origin})",
    {
      ...change,
      what: why === "lifted" ? "removed" : why ?? kept,
      author: by === null || why !== null ? "" : ` by ${by}`,
      expiry: until === null || why !== null ? "" : ` until ${isoTime(until)}`,
      because: change.reason === "" || why !== null ? "" : `: ${change.reason}`,
      origin: client === null ? source : `${source} from ${client}`,
    },
  );
}

function logCheck(log: Log, change: CheckChange): void {
  const { from, reason, changes } = change;
  log.info(
    "{protocol} check of {service} at {address}: {before}{to}{because}{flapping}: {message}",
    {
      ...change,
      before: from === null || from === change.to ? "" : `${from} to `,
      because: reason === null ? "" : ` (${reason})`,
      flapping: changes === 1 ? "" : `, ${changes} changes within ${FLAPPING_MS / 1000} s`,
    },
  );
}

/** Formats a time in unix seconds. One that is too far away for that stays a number. */
function isoTime(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? String(seconds) : time.toISOString();
}

/**
 * Describes the change of a file of the spool; undefined if it changes nothing.
 *
 * @param name The name of the file.
 * @param before The entry before; undefined if there was none.
 * @param after The entry now; undefined if there is none.
 * @param now The time in unix seconds.
 */
export function recordChange(
  name: string,
  before: Entry | undefined,
  after: Entry | undefined,
  now: number,
): RecordChange | undefined {
  const was = before !== undefined && !isExpired(before, now) ? before : undefined;
  const is = after !== undefined && !isExpired(after, now) ? after : undefined;
  if (is !== undefined) {
    return was !== undefined && isSame(was, is) ? undefined : describe(name, is, null, now);
  }
  if (was === undefined) return undefined;
  return describe(name, was, after === undefined ? "lifted" : "expired", now);
}

/**
 * Describes an entry that is in force now, or no longer.
 *
 * @param name The name of the file.
 * @param entry The entry.
 * @param why Why it is no longer in force; null if it is.
 * @param now The time in unix seconds.
 * @returns The change; undefined if the name is that of no entry.
 */
export function describe(
  name: string,
  entry: Entry,
  why: RecordChange["why"],
  now: number,
): RecordChange | undefined {
  const isWeight = "weight" in entry;
  const service = (isWeight ? parseWeightName(name) : parseRecordName(name))?.service;
  if (service === undefined) return undefined;
  const { reason, creation, expiration, by = null } = entry;
  return {
    kind: "record",
    at: now,
    name: isWeight ? name.slice(WEIGHT_PREFIX.length) : name,
    service,
    to: isWeight ? "weight" : why === null ? entry.mode : "up",
    weight: !isWeight ? null : why === null ? entry.weight : FULL_WEIGHT,
    reason: reason.slice(0, MAX_REASON_KEPT),
    by,
    creation,
    until: expiration,
    source: "spool",
    client: null,
    why,
  };
}

/** Whether two entries are the same to people. */
function isSame(one: Entry, other: Entry): boolean {
  const parts = (entry: Entry) => [
    ...["weight" in entry ? entry.weight : entry.mode, entry.reason, entry.expiration, entry.by],
  ];
  const others = parts(other);
  return parts(one).every((part, i) => part === others[i]);
}

/** Describes the change of the outcome of a check. */
export function checkChange({ request, from, to, result }: OutcomeChange): CheckChange {
  const { service, protocol, host, port, path } = request;
  const { at, code, reason, message, address } = result;
  return {
    kind: "check",
    ...{ at, service, protocol, host, port, path, from, to, code, reason, message, address },
    changes: 1,
  };
}
