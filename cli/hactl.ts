/**
 * The operator's tool.
 *
 * @module
 */

import { canonicalAddress, LOCAL_ADDRESS } from "../src/addresses.ts";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "../src/flags.ts";
import { canBeMarked, MAX_SERVICE_LENGTH, type Subject } from "../src/spool/names.ts";
import { FULL_WEIGHT, isTime } from "../src/spool/record.ts";
import { DEFAULT_SPOOL_ROOT, SpoolStore } from "../src/spool/store.ts";
import { VERSION } from "../src/version.ts";
import { type Command, type CommandContext, explained, tell } from "./command.ts";
import { down } from "./commands/down.ts";
import { downed } from "./commands/downed.ts";
import { drain } from "./commands/drain.ts";
import { list } from "./commands/list.ts";
import { status } from "./commands/status.ts";
import { up } from "./commands/up.ts";
import { weight } from "./commands/weight.ts";
import { LocalDaemon } from "./daemon.ts";

const USAGE =
  `hactl up|down|drain|status SERVICE... [-P PORT [-H HOST]] [-r REASON] [-e UNIX_TIME] [--spool-root DIR]
hactl weight SERVICE... PERCENT [-P PORT [-H HOST]] [-r REASON] [-e UNIX_TIME] [--spool-root DIR]
hactl downed
hactl list [-p DAEMON_PORT]

Takes services out of the load balancers that ask this host's hacheck, and puts them back.

  up SERVICE...             mark services up ("all" is everything on this host)
  down SERVICE...           mark services down
  drain SERVICE...          have services finish what they have and get nothing new, until they are up
  weight SERVICE... PERCENT give services a weight, from 0 to 100 (100 takes it back)
  status SERVICE...         tell which are marked down or drain; exit 1 if any does
  downed                    tell of everything that is marked down or drains
  list                      tell which services hacheck was asked about lately

  -P, --service-port PORT   speak of the services on this port only
  -H, --service-host IP     speak of them on this host only (default this machine)
  -r, --reason REASON       why (default who you are)
  -e, --expiration TIME     when a downtime ends, in unix seconds (default not by itself)
  -p, --port DAEMON_PORT    hacheck's port on this host (default 3333)
      --token-file FILE     what to show the daemon if it asks for a token
      --spool-root DIR      where downtimes are kept (default ${DEFAULT_SPOOL_ROOT})
  -a, --action ACTION       up, down, status, list or status_downed, as the older tools have it
      --version             print the version
      --help                print this`;

const FLAGS = {
  action: { short: "a", takesValue: true },
  reason: { short: "r", takesValue: true, mayBeEmpty: true },
  expiration: { short: "e", takesValue: true },
  "service-port": { short: "P", takesValue: true },
  "service-host": { short: "H", takesValue: true },
  port: { short: "p", takesValue: true },
  "token-file": { takesValue: true },
  "spool-root": { takesValue: true },
  version: { takesValue: false },
  help: { short: "h", takesValue: false },
};

interface SubCommand {
  readonly run: Command;
  /** Whether it speaks of the services that are named. */
  readonly takesServices: boolean;
  /** Whether a weight follows them. */
  readonly takesWeight?: boolean;
}

const COMMANDS: ReadonlyMap<string, SubCommand> = new Map<string, SubCommand>([
  ["up", { run: up, takesServices: true }],
  ["down", { run: down, takesServices: true }],
  ["drain", { run: drain, takesServices: true }],
  ["weight", { run: weight, takesServices: true, takesWeight: true }],
  ["status", { run: status, takesServices: true }],
  ["downed", { run: downed, takesServices: false }],
  ["list", { run: list, takesServices: false }],
]);

/** The names of the older tools, and what they do. */
const OLD_NAMES: ReadonlyMap<string, string> = new Map([
  ["haup", "up"],
  ["hadown", "down"],
  ["hastatus", "status"],
  ["halist", "list"],
  ["hashowdowned", "downed"],
]);

/** The values of the older tools' `-a`. */
const OLD_ACTIONS: ReadonlyMap<string, string> = new Map([
  ["up", "up"],
  ["down", "down"],
  ["status", "status"],
  ["list", "list"],
  ["status_downed", "downed"],
]);

/** The sub-command that is meant, the services it is to speak of, and the weight it is to give them. */
interface Chosen {
  readonly command: SubCommand;
  readonly services: readonly string[];
  readonly weight: number | undefined;
}

function chosen(line: CommandLine, calledAs: string): Chosen {
  let name = OLD_NAMES.get(calledAs);
  let services = line.operands;
  const action = line.one("action");
  if (action !== undefined) {
    name = OLD_ACTIONS.get(action);
    if (name === undefined) {
      const actions = [...OLD_ACTIONS.keys()].join(", ");
      throw new UsageError(
        `Bad -a: expected one of ${actions}: received ${JSON.stringify(action)}`,
      );
    }
  } else if (name === undefined) {
    [name = "", ...services] = services;
  }
  const command = COMMANDS.get(name);
  if (command === undefined) {
    const names = [...COMMANDS.keys()].join(", ");
    throw new UsageError(
      `Bad sub-command: expected one of ${names}: received ${JSON.stringify(name)}`,
    );
  }
  let weight;
  if (command.takesWeight && services.length > 1) {
    weight = wholeNumber("weight", services.at(-1)!, 0, FULL_WEIGHT);
    services = services.slice(0, -1);
  } else if (command.takesWeight) {
    throw new UsageError(`${name} needs the name of a service, and a weight from 0 to 100`);
  }
  if (command.takesServices && services.length === 0) {
    throw new UsageError(`${name} needs the name of a service`);
  }
  if (!command.takesServices && services.length > 0) {
    throw new UsageError(`${name} takes no service: ${services[0]}`);
  }
  return { command, services, weight };
}

function subjects(line: CommandLine, services: readonly string[]): Subject[] {
  const portText = line.one("service-port");
  const hostText = line.one("service-host");
  if (portText === undefined && hostText !== undefined) {
    throw new UsageError("-H needs -P: which port of that host");
  }
  const port = portText === undefined ? 0 : wholeNumber("-P", portText, 1, 65535);
  const host = hostText === undefined ? LOCAL_ADDRESS : canonicalAddress(hostText);
  if (host === undefined) {
    throw new UsageError(
      `Bad -H: expected an IPv4 or IPv6 address: received ${JSON.stringify(hostText)}`,
    );
  }
  return services.map((service) => {
    if (canBeMarked(service)) return { service, port, host };
    throw new UsageError(
      `Bad service: expected at most ${MAX_SERVICE_LENGTH} letters, digits, ".", "_" and "-", ` +
        `not beginning with a dot: received ${JSON.stringify(service)}`,
    );
  });
}

function expirationOf(line: CommandLine): number | null {
  const text = line.one("expiration");
  if (text === undefined || /^inf(inity)?$/i.test(text)) return null;
  const seconds = text.trim() === "" ? NaN : Number(text);
  if (isTime(seconds)) return seconds;
  throw new UsageError(`Bad -e: expected a time in unix seconds: received ${JSON.stringify(text)}`);
}

function tokenIn(path: string | undefined): string | null {
  if (path === undefined) return null;
  let token;
  try {
    token = Deno.readTextFileSync(path).trim();
  } catch (error) {
    throw new UsageError(`Cannot read --token-file ${path}: ${explained(error)}`);
  }
  // It goes into a header, which a line feed would end.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError(`Bad --token-file ${path}: expected one word: found something else`);
}

function contextOf(
  line: CommandLine,
  { services, weight }: Chosen,
): CommandContext {
  return {
    subjects: subjects(line, services),
    store: new SpoolStore(line.one("spool-root") ?? DEFAULT_SPOOL_ROOT),
    daemon: new LocalDaemon(
      wholeNumber("-p", line.one("port") ?? "3333", 1, 65535),
      tokenIn(line.one("token-file")),
    ),
    reason: line.one("reason") || undefined,
    expiration: expirationOf(line),
    weight,
  };
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
    const line = parseFlags(args, FLAGS);
    if (line.has("help")) return say(USAGE);
    if (line.has("version")) return say(`hactl ${VERSION}`);
    const meant = chosen(line, calledAs);
    const context = contextOf(line, meant);
    run = () => meant.command.run(context);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tell(`${error.message} (hactl --help tells more)`);
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

if (import.meta.main) Deno.exit(await main(Deno.args, await calledAs()));
