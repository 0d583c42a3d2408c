/**
 * Turns hactl's command line into what a command works with.
 *
 * @module
 */

import { type CommandLine, UsageError, wholeNumber } from "../src/flags.ts";
import { canonicalAddress, LOCAL_ADDRESS } from "../src/net/addresses.ts";
import { encodedLength, FULL_WEIGHT, isTime } from "../src/spool/entry.ts";
import {
  ALL,
  canHaveRecord,
  MAX_SERVICE_LENGTH,
  parseRecordName,
  type Subject,
} from "../src/spool/names.ts";
import { DEFAULT_SPOOL_ROOT, MAX_RECORD_BYTES, SpoolStore } from "../src/spool/store.ts";
import { closest } from "../src/text/closest.ts";
import type { CommandContext } from "./command.ts";
import {
  type CommandName,
  COMMANDS,
  type CommandSpec,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OLD_ACTIONS,
  OLD_NAMES,
} from "./command_spec.ts";
import { daemonFlags } from "./daemon_flags.ts";
import { resolveHost } from "./daemons/resolve_host.ts";
import { DEFAULT_PORT } from "./daemons/url.ts";
import { parseDuration, parseTime } from "./times.ts";

/** The bytes of a record that are left for everything but its reason. */
const OTHER_FIELDS_BYTES = 4096;

/** A command and its operands. */
export interface Invocation {
  readonly name: CommandName;
  readonly operands: readonly string[];
  /** Whether the command was named by an older name or `-a`. */
  readonly byOldName: boolean;
}

/**
 * Finds the command of a command line: by the name of the program, by `-a` or by the first operand.
 *
 * @param line The command line.
 * @param calledAs The name of the program.
 * @throws {UsageError} If there is no such command.
 */
export function invocationOf(line: CommandLine, calledAs: string): Invocation {
  const action = line.one("action");
  const name = action === undefined ? OLD_NAMES.get(calledAs) : OLD_ACTIONS.get(action);
  if (name !== undefined) return { name, operands: line.operands, byOldName: true };
  if (action !== undefined) {
    const actions = [...OLD_ACTIONS.keys()].join(", ");
    throw new UsageError(`Bad -a: expected one of ${actions}: received ${JSON.stringify(action)}`);
  }
  const [first = "", ...operands] = line.operands;
  return { name: commandName(first), operands, byOldName: false };
}

/**
 * Checks the name of a command.
 *
 * @param name The name.
 * @throws {UsageError} If there is no such command. The message names the closest one.
 */
export function commandName(name: string): CommandName {
  if (Object.hasOwn(COMMANDS, name)) return name as CommandName;
  const names = Object.keys(COMMANDS);
  const near = closest(name, names);
  throw new UsageError(
    `Bad command: expected one of ${names.join(", ")}: received ${JSON.stringify(name)}` +
      (near === undefined ? "" : `; did you mean ${near}?`),
  );
}

/**
 * Checks a command line and returns what its command works with.
 *
 * @param invocation The command.
 * @param line The command line.
 * @throws {UsageError} If a flag or an operand is invalid.
 */
export async function contextOf(
  invocation: Invocation,
  line: CommandLine,
): Promise<CommandContext> {
  const { name, operands, byOldName } = invocation;
  rejectUnusedFlags(name, line);
  const services = servicesOf(invocation, line);
  const healthy = healthyIn(name, line);
  const timeout = line.one("timeout");
  const { daemons, trust } = await daemonFlags(name, line);
  return {
    subjects: await subjectsOf(name, line, services),
    store: storeIn(line),
    port: portIn(line),
    reason: reasonIn(name, line),
    expiration: expirationIn(line),
    weight: name === "weight" ? wholeNumber("weight", operands.at(-1)!, 0, FULL_WEIGHT) : undefined,
    wanted: wantedIn(name, line),
    healthy: name === "up" ? healthy : null,
    typedHost: line.one("service-host") ?? null,
    byOldName,
    timeout: timeout === undefined
      ? name === "wait" ? healthy : null
      : parseDuration("--timeout", timeout),
    now: nowIn(name, line),
    json: line.has("json"),
    daemons,
    trust,
    operands,
  };
}

/**
 * Returns the spool that a command line names.
 *
 * @param line The command line.
 */
export function storeIn(line: CommandLine): SpoolStore {
  return new SpoolStore(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT);
}

/**
 * Returns the port of this host's daemon.
 *
 * @param line The command line.
 * @throws {UsageError} If it is invalid.
 */
export function portIn(line: CommandLine): number {
  return wholeNumber("-p", line.one("port") ?? String(DEFAULT_PORT), 1, 65535);
}

/** Rejects flags without effect on a command, except those of the older tools. */
function rejectUnusedFlags(name: CommandName, line: CommandLine): void {
  const { flags }: CommandSpec = COMMANDS[name];
  for (const flag of Object.keys(FLAGS) as FlagName[]) {
    const { isOld = false }: FlagSpec = FLAGS[flag];
    if (line.has(flag) && !isOld && !flags.includes(flag)) {
      throw new UsageError(`${name} takes no --${flag}`);
    }
  }
}

/** Returns the services among the operands of a command. */
function servicesOf(
  { name, operands, byOldName }: Invocation,
  line: CommandLine,
): readonly string[] {
  const { takes } = COMMANDS[name];
  const [first, second] = operands;
  switch (takes) {
    case "services and a weight":
      if (second !== undefined) return operands.slice(0, -1);
      throw new UsageError(
        `${name} needs the name of a service, and a weight from 0 to ${FULL_WEIGHT}`,
      );
    case "services":
    case "any services": {
      // The older tools need a service, and -P says nothing without one.
      const needsOne = takes === "services" || byOldName || line.has("service-port");
      if (needsOne && first === undefined) {
        throw new UsageError(`${name} needs the name of a service`);
      }
      return operands;
    }
    case "nothing":
      if (first !== undefined) throw new UsageError(`${name} takes no service: ${first}`);
      return [];
    default:
      if (second !== undefined) throw new UsageError(`Unexpected argument: ${second}`);
      return [];
  }
}

async function subjectsOf(
  name: CommandName,
  line: CommandLine,
  services: readonly string[],
): Promise<Subject[]> {
  const portText = line.one("service-port");
  const hostText = line.one("service-host");
  if (portText === undefined && hostText !== undefined) {
    throw new UsageError("-H needs -P: which port of that host");
  }
  const port = portText === undefined ? 0 : wholeNumber("-P", portText, 0, 65535);
  const isPortZero = portText !== undefined && port === 0;
  const writesEntries = name === "down" || name === "drain" || name === "weight";
  for (const service of services) {
    if (!canHaveRecord(service)) {
      throw new UsageError(
        `Bad service: expected at most ${MAX_SERVICE_LENGTH} letters, digits, ".", "_" and "-", ` +
          `not beginning with a dot: received ${JSON.stringify(service)}${portHint(service)}`,
      );
    }
    if (service === ALL && portText !== undefined && writesEntries) {
      throw new UsageError(
        `${name} ${ALL} takes no -P: ${ALL} is every service of this host. Name the services on ` +
          `port ${port}`,
      );
    }
  }
  const address = hostText === undefined ? LOCAL_ADDRESS : canonicalAddress(hostText);
  const hosts = address === undefined ? await resolveHost(hostText!) : [address];
  return services.flatMap((service) =>
    hosts.map((host) => ({ service, port, host, ...isPortZero ? { isPortZero } : {} }))
  );
}

/** Suggests the flags where a service is written with its port, like the name of a record. */
function portHint(service: string): string {
  const meant = parseRecordName(service.replace("::", ":"));
  if (meant === undefined || meant.port === 0) return "";
  const host = meant.host === LOCAL_ADDRESS ? "" : ` -H ${meant.host}`;
  return `; did you mean ${meant.service} -P ${meant.port}${host}?`;
}

/** Returns the value of `-r`. Rejects one that makes the record too long to be read back. */
function reasonIn(name: CommandName, line: CommandLine): string | undefined {
  const reason = line.one("reason") || undefined;
  const { flags }: CommandSpec = COMMANDS[name];
  if (reason === undefined || !flags.includes("reason")) return reason;
  const max = MAX_RECORD_BYTES - OTHER_FIELDS_BYTES;
  const length = encodedLength(reason);
  if (length <= max) return reason;
  throw new UsageError(`Reason too long: expected at most ${max} bytes as JSON: found ${length}`);
}

function expirationIn(line: CommandLine): number | null {
  const [at, after, until] = [line.one("expiration"), line.one("for"), line.one("until")];
  if ([at, after, until].filter((text) => text !== undefined).length > 1) {
    throw new UsageError("Only one of -e, --for and --until can set the expiration");
  }
  const now = Date.now() / 1000;
  if (after !== undefined) return now + parseDuration("--for", after);
  if (until !== undefined) return parseTime("--until", until, now);
  if (at === undefined || /^inf(inity)?$/i.test(at)) return null;
  const seconds = at.trim() === "" ? NaN : Number(at);
  if (isTime(seconds)) return seconds;
  throw new UsageError(`Bad -e: expected a time in unix seconds: received ${JSON.stringify(at)}`);
}

function wantedIn(name: CommandName, line: CommandLine): CommandContext["wanted"] {
  const wanted = (["up", "down", "healthy"] as const).filter((flag) => line.has(flag));
  if (name === "wait" && wanted.length !== 1) {
    throw new UsageError("wait needs one of --up, --down and --healthy");
  }
  return wanted[0] ?? "down";
}

function nowIn(name: CommandName, line: CommandLine): boolean {
  if (line.has("now") && line.operands.length < 2) {
    throw new UsageError(`${name} --now needs the name of a service`);
  }
  return line.has("now");
}

/** Returns the duration of `--healthy` in seconds; null without one, which `up` does not accept. */
function healthyIn(name: CommandName, line: CommandLine): number | null {
  const duration = line.one("healthy");
  if (duration === "" && name === "up") {
    throw new UsageError("up --healthy needs a duration, such as 5m");
  }
  return duration ? parseDuration("--healthy", duration) : null;
}
