/**
 * The operator's tool.
 *
 * @module
 */

import { requireTestedDeno } from "../src/deno_release.ts";
import { canonicalAddress, LOCAL_ADDRESS } from "../src/net/addresses.ts";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "../src/flags.ts";
import {
  ALL,
  canHaveRecord,
  MAX_SERVICE_LENGTH,
  parseRecordName,
  type Subject,
} from "../src/spool/names.ts";
import { encodedLength, FULL_WEIGHT, isTime } from "../src/spool/entry.ts";
import { DEFAULT_SPOOL_ROOT, MAX_RECORD_BYTES, SpoolStore } from "../src/spool/store.ts";
import { VERSION } from "../src/version.ts";
import type { CommandContext } from "./command.ts";
import { errorMessage, warn } from "./terminal.ts";
import { LocalDaemon } from "./daemons/local.ts";
import { type DaemonUrl, DEFAULT_PORT, parseDaemonUrl } from "./daemons/url.ts";
import { more } from "./more.ts";
import {
  COMMANDS,
  type CommandSpec,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OLD_ACTIONS,
  OLD_NAMES,
  SHELLS,
} from "./command_spec.ts";
import { parseDuration, parseTime } from "./times.ts";

/** What a command line is about. */
interface Chosen {
  /** The sub-command's name. */
  readonly name: string;
  readonly command: CommandSpec;
  /** What follows it. */
  readonly operands: readonly string[];
  /** Whether it goes by the name that the older tools have for it. */
  readonly byOldName: boolean;
}

/** The sub-command that is meant, by its name, by that of an older tool, or by their `-a`. */
async function chosen(line: CommandLine, calledAs: string): Promise<Chosen> {
  let name = OLD_NAMES.get(calledAs);
  let operands = line.operands;
  const action = line.one("action");
  if (action !== undefined) {
    name = OLD_ACTIONS.get(action);
    if (name === undefined) {
      const actions = [...OLD_ACTIONS.keys()].join(", ");
      throw new UsageError(
        `Bad -a: expected one of ${actions}: received ${JSON.stringify(action)}`,
      );
    }
  }
  const byOldName = name !== undefined;
  if (name === undefined) [name = "", ...operands] = operands;
  const command = COMMANDS.get(name) ?? await unknownCommand(name);
  return { name, command, operands, byOldName };
}

/** Refuses what is no sub-command, and names what may be meant. */
async function unknownCommand(name: string): Promise<never> {
  const { closest } = await more();
  const names = [...COMMANDS.keys()];
  const meant = closest(name, names);
  throw new UsageError(
    `Bad sub-command: expected one of ${names.join(", ")}: received ${JSON.stringify(name)}` +
      (meant === undefined ? "" : `; did you mean ${meant}?`),
  );
}

/** What follows a sub-command. */
interface Operands {
  readonly services: readonly string[];
  readonly words: readonly string[];
  readonly weight?: number;
}

/** Tells the services from what else follows a sub-command. */
async function operandsOf(
  { name, command: { takes }, operands, byOldName }: Chosen,
  line: CommandLine,
): Promise<Operands> {
  const [first, second] = operands;
  switch (takes) {
    case "services and a weight":
      if (second === undefined) {
        throw new UsageError(
          `${name} needs the name of a service, and a weight from 0 to ${FULL_WEIGHT}`,
        );
      }
      return {
        services: operands.slice(0, -1),
        words: [],
        weight: wholeNumber("weight", operands.at(-1)!, 0, FULL_WEIGHT),
      };
    case "services":
    case "any services": {
      // The older tools want one; and where a port is given, it must be some service's.
      const needsOne = takes === "services" || byOldName || line.one("service-port") !== undefined;
      if (needsOne && first === undefined) {
        throw new UsageError(`${name} needs the name of a service`);
      }
      return { services: operands, words: [] };
    }
    case "nothing":
      if (first !== undefined) throw new UsageError(`${name} takes no service: ${first}`);
      return { services: [], words: [] };
    case "a command":
      if (first !== undefined && !COMMANDS.has(first)) await unknownCommand(first);
      break;
    case "a shell":
      if (!SHELLS.some((shell) => shell === first)) {
        throw new UsageError(
          `Bad shell: expected one of ${SHELLS.join(", ")}: received ${
            JSON.stringify(first ?? "")
          }`,
        );
      }
  }
  if (second !== undefined) throw new UsageError(`Unexpected argument: ${second}`);
  return { services: [], words: operands };
}

/** Refuses flags that are of no use to a sub-command, unless the older tools took them all the same. */
function refuseUseless({ name, command }: Chosen, line: CommandLine): void {
  for (const flag of Object.keys(FLAGS) as FlagName[]) {
    const { everywhere }: FlagSpec = FLAGS[flag];
    const isGiven = line.has(flag) || line.all(flag).length > 0;
    if (isGiven && !everywhere && !command.flags.includes(flag)) {
      throw new UsageError(`${name} takes no --${flag}`);
    }
  }
}

async function subjectsOf(
  { name }: Chosen,
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
  for (const service of services) {
    if (!canHaveRecord(service)) {
      throw new UsageError(
        `Bad service: expected at most ${MAX_SERVICE_LENGTH} letters, digits, ".", "_" and "-", ` +
          `not beginning with a dot: received ${JSON.stringify(service)}${portHint(service)}`,
      );
    }
    if (service === ALL && portText !== undefined && MARKING.has(name)) {
      throw new UsageError(
        `${name} ${ALL} takes no -P: it is everything on this host. Name the services on port ${port}`,
      );
    }
  }
  const known = hostText === undefined ? LOCAL_ADDRESS : canonicalAddress(hostText);
  const hosts = known === undefined ? await (await more()).resolveHost(hostText!) : [known];
  return services.flatMap((service) =>
    hosts.map((host) => ({ service, port, host, ...isPortZero ? { isPortZero } : {} }))
  );
}

/** The sub-commands that mark something. */
const MARKING: ReadonlySet<string> = new Set(["down", "drain", "weight"]);

/** Hints at the flags, where a service is written with its port as the name of a record. */
function portHint(service: string): string {
  const meant = parseRecordName(service.replace("::", ":"));
  if (meant === undefined || meant.port === 0) return "";
  const host = meant.host === LOCAL_ADDRESS ? "" : ` -H ${meant.host}`;
  return `; did you mean ${meant.service} -P ${meant.port}${host}?`;
}

/** How much of a record is left for all but its reason, in bytes. */
const OTHER_FIELDS_BYTES = 4096;

/** The reason that is given; undefined if none is. Rejects one with which a record is too long to be read. */
function reasonIn({ command }: Chosen, line: CommandLine): string | undefined {
  const reason = line.one("reason") || undefined;
  if (reason === undefined || !command.flags.includes("reason")) return reason;
  const max = MAX_RECORD_BYTES - OTHER_FIELDS_BYTES;
  const length = encodedLength(reason);
  if (length <= max) return reason;
  throw new UsageError(`Reason too long: expected at most ${max} bytes as JSON: found ${length}`);
}

function expirationOf(line: CommandLine): number | null {
  const [at, after, until] = [line.one("expiration"), line.one("for"), line.one("until")];
  if ([at, after, until].filter((text) => text !== undefined).length > 1) {
    throw new UsageError("Only one of -e, --for and --until can tell when a downtime ends");
  }
  const now = Date.now() / 1000;
  if (after !== undefined) return now + parseDuration("--for", after);
  if (until !== undefined) return parseTime("--until", until, now);
  if (at === undefined || /^inf(inity)?$/i.test(at)) return null;
  const seconds = at.trim() === "" ? NaN : Number(at);
  if (isTime(seconds)) return seconds;
  throw new UsageError(`Bad -e: expected a time in unix seconds: received ${JSON.stringify(at)}`);
}

/** Reads a file that a flag names. `-` is the standard input. */
async function contentOf(flag: FlagName, path: string): Promise<string> {
  if (path === "-") return await new Response(Deno.stdin.readable).text();
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    // A script is granted what its flags name, but for names that Deno cannot grant.
    const why = error instanceof Deno.errors.NotCapable
      ? "hactl is not permitted to: move the file to /etc/hacheck, or use - for the standard input"
      : errorMessage(error);
    throw new UsageError(`Cannot read --${flag} ${path}: ${why}`);
  }
}

/** Rejects a command line on which two flags read the standard input: the second one would find it empty. */
function demandOneStdin(line: CommandLine): void {
  const flags = ["token-file", "ca-file", "daemon-file"] as const;
  const reading = flags.flatMap((flag) =>
    (flag === "daemon-file" ? line.all(flag) : [line.one(flag)])
      .filter((path) => path === "-").map(() => `--${flag} -`)
  );
  if (reading.length > 1) {
    throw new UsageError(
      `Only one flag can read the standard input: received ${reading.join(" and ")}`,
    );
  }
}

async function tokenIn(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  const token = (await contentOf("token-file", path)).trim();
  // It goes into a header, which a line feed would end.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError(`Bad --token-file ${path}: expected one word: found something else`);
}

async function authoritiesIn(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  const pem = await contentOf("ca-file", path);
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw new UsageError(`Bad --ca-file ${path}: expected certificates in PEM: found something else`);
}

async function daemonsOf({ name }: Chosen, line: CommandLine): Promise<DaemonUrl[]> {
  const given = line.all("daemon").map((text) => parseDaemonUrl("--daemon", text));
  for (const path of line.all("daemon-file")) {
    const content = await contentOf("daemon-file", path);
    const named = content.split("\n")
      .map((text, i) => ({ text: text.split("#")[0]!.trim(), number: i + 1 }))
      .filter(({ text }) => text !== "");
    if (named.length === 0) {
      throw new UsageError(`Bad --daemon-file ${path}: expected a URL a line: found none`);
    }
    // By sudo, hactl may read files that its caller may not: nothing of them goes into a message.
    given.push(
      ...named.map(({ text, number }) =>
        parseDaemonUrl(`--daemon-file ${path}`, text, `something else in line ${number}`)
      ),
    );
  }
  if (given.length === 0) {
    for (const flag of name === "wait" ? ["ca-file"] : ["ca-file", "timeout"]) {
      if (line.one(flag) !== undefined) throw new UsageError(`--${flag} needs --daemon`);
    }
  } else {
    for (const [flag, short] of [["service-host", "-H"], ["port", "-p"]] as const) {
      if (line.one(flag) !== undefined) {
        throw new UsageError(`${short} is not for daemons that are named by --daemon`);
      }
    }
    if (Number(line.one("service-port") ?? NaN) === 0) {
      throw new UsageError("-P 0 is not for daemons that are named by --daemon");
    }
  }
  return [...new Map(given.map((url) => [url.shown, url])).values()];
}

/** What wait waits for. */
function wantedOf({ name }: Chosen, line: CommandLine): CommandContext["wanted"] {
  const wanted = (["up", "down", "healthy"] as const).filter((flag) => line.has(flag));
  if (name === "wait" && wanted.length !== 1) {
    throw new UsageError("wait needs either --up, --down or --healthy: what to wait for");
  }
  return wanted[0] ?? "down";
}

/** For how long up waits until the checks are good. */
function healthyOf({ name }: Chosen, line: CommandLine): number | null {
  const given = line.one("healthy");
  if (given === undefined) return null;
  if (given !== "") return parseDuration("--healthy", given);
  if (name === "up") throw new UsageError("up --healthy needs how long to wait, such as 5m");
  return null;
}

async function contextOf(asked: Chosen, line: CommandLine): Promise<CommandContext> {
  refuseUseless(asked, line);
  const { services, words, weight } = await operandsOf(asked, line);
  const healthy = healthyOf(asked, line);
  const timeout = line.one("timeout");
  demandOneStdin(line);
  const token = await tokenIn(line.one("token-file"));
  return {
    subjects: await subjectsOf(asked, line, services),
    store: new SpoolStore(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT),
    daemon: new LocalDaemon(
      wholeNumber("-p", line.one("port") ?? String(DEFAULT_PORT), 1, 65535),
      token,
    ),
    reason: reasonIn(asked, line),
    expiration: expirationOf(line),
    weight,
    wanted: wantedOf(asked, line),
    healthy: asked.name === "up" ? healthy : null,
    typedHost: line.one("service-host") ?? null,
    byOldName: asked.byOldName,
    timeout: timeout === undefined
      ? asked.name === "wait" ? healthy : null
      : parseDuration("--timeout", timeout),
    json: line.has("json"),
    daemons: await daemonsOf(asked, line),
    trust: { token, authorities: await authoritiesIn(line.one("ca-file")) },
    words,
  };
}

/** The help that is asked for: on the sub-command that is named, or on hactl. */
async function helpText(line: CommandLine, calledAs: string): Promise<string> {
  const { helpOn, usage } = await more();
  const isGeneral = line.operands.length === 0 && line.one("action") === undefined &&
    !OLD_NAMES.has(calledAs);
  if (isGeneral) return usage();
  const { name, command } = await chosen(line, calledAs);
  return helpOn(name, command);
}

/**
 * Runs hactl.
 *
 * @param args The command line.
 * @param calledAs The name it was called by.
 * @returns The exit code: 2 for a command line that makes no sense, else the sub-command's.
 */
export async function main(args: readonly string[], calledAs = "hactl"): Promise<number> {
  let run;
  try {
    if (args.length === 0 && !OLD_NAMES.has(calledAs)) return say((await more()).usage());
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) return say(await helpText(line, calledAs));
    if (line.has("version")) return say(`hactl ${VERSION}`);
    const asked = await chosen(line, calledAs);
    const context = await contextOf(asked, line);
    run = () => asked.command.run(context);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    warn(`${error.message} (hactl --help tells more)`);
    return 2;
  }
  return await run();
}

function say(text: string): number {
  console.log(text);
  return 0;
}

/** The name that a compiled hactl was called by. Only there is it worth the 12 ms it takes to find out. */
async function calledAs(): Promise<string> {
  if (!Deno.build.standalone) return "hactl";
  const { argv0 } = (await import("node:process")).default;
  return argv0.slice(argv0.lastIndexOf("/") + 1);
}

if (import.meta.main) {
  requireTestedDeno("hactl");
  Deno.exit(await main(Deno.args, await calledAs()));
}
