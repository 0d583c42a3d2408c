/**
 * The commands and flags of hactl: data for the parser, the help, the completions and the tests of the
 * manual page.
 *
 * @module
 */

import type { Flag } from "../src/flags.ts";
import { DEFAULT_SPOOL_ROOT } from "../src/spool/store.ts";

/** A flag, with its help. */
export interface FlagSpec extends Flag {
  /** The name of its value; null for a flag without one. */
  readonly value: string | null;
  /** What it does. */
  readonly summary: string;
  /** The values that shells complete: names of files, or these words. */
  readonly values?: "files" | readonly string[];
}

/** Describes a flag of the older tools. Every command accepts it, even without effect, as these do. */
function old(short: string | null, value: string | null, summary: string): FlagSpec {
  return { ...flag(value, summary), ...short === null ? {} : { short }, isOld: true };
}

/** Describes a flag that only some commands accept. */
function flag(value: string | null, summary: string): FlagSpec {
  return { value, summary, takesValue: value !== null };
}

/** The values of the older tools' `-a`, and the commands that they run. */
export const OLD_ACTIONS: ReadonlyMap<string, "up" | "down" | "status" | "list" | "downed"> =
  new Map([
    ["up", "up"],
    ["down", "down"],
    ["status", "status"],
    ["list", "list"],
    ["status_downed", "downed"],
  ]);

/** The flags by their long names, in the order of the help. */
export const FLAGS = {
  "service-port": old("P", "PORT", "apply to this port of the services only"),
  "service-host": old("H", "IP", "with -P: apply to this host only (default: this host)"),
  reason: { ...old("r", "REASON", "the reason (default: your login name)"), mayBeEmpty: true },
  expiration: old("e", "UNIX_TIME", "expire at this time, in unix seconds (default: never)"),
  for: flag("DURATION", "expire after this time: 30m, 1h30m, 2d"),
  until: flag(
    "TIME",
    "expire at this time: 2026-12-01T08:00, 2026-12-01T08:00Z, 2026-12-01 or 08:00",
  ),
  up: flag(null, "wait until every service is up"),
  down: flag(null, "wait until every service is down"),
  healthy: {
    ...flag(
      "DURATION",
      "wait until the services' own checks succeed, whatever their records say; up needs a " +
        "DURATION and gives up after it",
    ),
    optionalValue: /^(?:\d+[wdhms])+$/,
  },
  now: flag(null, "run the checks of the services anew, past the cache, and print each step"),
  json: flag(null, "print JSON"),
  daemon: flag(
    "URL",
    "ask the daemon at http://HOST[:PORT] or https://HOST[:PORT] instead of the one on this host; " +
      "may be repeated",
  ),
  "daemon-file": {
    ...flag("FILE", 'ask the daemons in this file: one URL a line, # comments ("-": stdin)'),
    values: "files",
  },
  timeout: flag(
    "DURATION",
    "give up after this time: wait as a whole (default: never), or each daemon that --daemon " +
      "names (default: 5s, or 60s with --now)",
  ),
  "ca-file": {
    ...flag(
      "FILE",
      'for https, trust the authorities in this PEM file and no others ("-": stdin)',
    ),
    values: "files",
  },
  "token-file": {
    ...flag("FILE", 'the token for daemons that require one ("-": stdin)'),
    values: "files",
  },
  port: old("p", "DAEMON_PORT", "the port of the daemon on this host (default: 3333)"),
  "spool-root": {
    ...old(null, "DIR", `the folder of the records (default: ${DEFAULT_SPOOL_ROOT})`),
    values: "files",
  },
  action: {
    ...old(
      "a",
      "ACTION",
      `the command as the older tools name it: ${[...OLD_ACTIONS.keys()].join(", ")}`,
    ),
    values: [...OLD_ACTIONS.keys()],
  },
  version: old(null, null, "print the version"),
  help: old("h", null, "print help"),
} satisfies Readonly<Record<string, FlagSpec>>;

/** The long name of a flag. */
export type FlagName = keyof typeof FLAGS;

/** A command, with its help. */
export interface CommandSpec {
  /** What it does, in a few words. */
  readonly summary: string;
  /** Its operands. */
  readonly takes:
    | "services"
    | "services and a weight"
    | "any services"
    | "nothing"
    | "a command"
    | "a shell";
  /** The services that shells complete: those with a record, or all that are known. */
  readonly offers: "services with a record" | "known services" | null;
  /** The flags that have an effect on it. */
  readonly flags: readonly FlagName[];
  /** Paragraphs about it. */
  readonly details: readonly string[];
  /** Command lines, each with its effect. */
  readonly examples: readonly (readonly [line: string, effect: string])[];
}

const DAEMON: readonly FlagName[] = [
  "daemon",
  "daemon-file",
  "timeout",
  "ca-file",
  "token-file",
  "port",
  "spool-root",
];

const SUBJECT: readonly FlagName[] = ["service-port", "service-host"];

const ENTRY: readonly FlagName[] = ["reason", "expiration", "for", "until"];

const WAITS_FOR_DAEMON =
  "Returns once the daemon reports the change. If the daemon still contradicts it after a second, " +
  "hactl says so and exits 1.";

/** The commands by their names, in the order of the help. */
export const COMMANDS = {
  up: {
    summary: "put services back: remove their records",
    takes: "services",
    offers: "services with a record",
    flags: [...SUBJECT, "healthy", "json", ...DAEMON],
    details: [
      `Removes the record of each service. A service without a record stays up. ${WAITS_FOR_DAEMON}`,
      "With --healthy DURATION the daemon first runs the services' own checks until all succeed. If " +
      "they do not succeed in time, the records stay and the exit status is 1.",
    ],
    examples: [
      ["hactl up web", "Put web back."],
      ["hactl up web -P 8080", "Remove the record of port 8080 only."],
      ["hactl up web --healthy 5m", "Put web back once its own checks succeed."],
    ],
  },
  down: {
    summary: "take services out: write records of mode down",
    takes: "services",
    offers: "known services",
    flags: [...SUBJECT, ...ENTRY, "json", ...DAEMON],
    details: [
      "Without -r the reason is your login name, unless /etc/nonhumans lists it. With -e, --for or " +
      `--until the record expires. ${WAITS_FOR_DAEMON}`,
      "If a service is down already for the same reason, its record keeps its creation time and gets " +
      "the new expiration.",
    ],
    examples: [
      ['hactl down web -r "kernel update" --for 30m', "Take web out for half an hour."],
      ["hactl down all --until 2026-12-01T08:00", "Take every service of this host out."],
      [
        "hactl down web --daemon http://10.0.0.1:3333 --daemon http://10.0.0.2:3333",
        "Take web out on two other hosts.",
      ],
    ],
  },
  drain: {
    summary: "let services finish their requests and send them no new ones",
    takes: "services",
    offers: "known services",
    flags: [...SUBJECT, ...ENTRY, "json", ...DAEMON],
    details: [
      "Writes records of mode drain. Checks then return 404: a HAProxy with http-check " +
      "disable-on-404 drains the server, any other takes it down. -r, -e, --for and --until work as " +
      `with down, and up removes the record. ${WAITS_FOR_DAEMON}`,
    ],
    examples: [
      ["hactl drain web -r deploy", "Let web finish its downloads, and send it no new clients."],
    ],
  },
  weight: {
    summary: "set the weight of services, from 0 to 100 per cent (100 removes it)",
    takes: "services and a weight",
    offers: "known services",
    flags: [...SUBJECT, ...ENTRY, "json", ...DAEMON],
    details: [
      "Agent checks report the weight; other checks ignore it. It is independent of records. -r, -e, " +
      `--for and --until work as with down. ${WAITS_FOR_DAEMON}`,
    ],
    examples: [
      ["hactl weight web 50 --for 1h", "Send web half of its share for an hour."],
      ["hactl weight web 100", "Send web its whole share again."],
    ],
  },
  status: {
    summary: "print the state of services; exit 1 if one is down or drains",
    takes: "any services",
    offers: "known services",
    flags: [...SUBJECT, "json", ...DAEMON],
    details: [
      "Prints the state of each service that is named, by its own record; if a wider record keeps it " +
      "out, hactl says so on stderr. It reads these records in the spool and asks no daemon. Without a name it prints every record, every weight and every " +
      "service that HAProxy asked for in the last ten minutes: in columns on a terminal, otherwise " +
      "one line for each.",
    ],
    examples: [
      ["hactl status", "Print everything."],
      ["hactl status web db", "Print the state of web and of db."],
      ["hactl status --json --daemon-file hosts", "Print everything on many hosts, as JSON."],
    ],
  },
  why: {
    summary: "print why services are out; exit 1 if one is out or fails",
    takes: "any services",
    offers: "known services",
    flags: [...SUBJECT, "now", "json", ...DAEMON],
    details: [
      "Prints the records that keep a service out, with their authors and reasons, and the checks " +
      "that fail, with the reason, the address, since when and the last failures, and what changed " +
      "lately. Without a name it prints all that is not well, unplanned failures first.",
      "With --now the daemon runs the checks that HAProxy asks for once more, and hactl prints each " +
      "step with its time. Without a daemon hactl prints the records alone.",
    ],
    examples: [
      ["hactl why", "Print all that is not well."],
      ["hactl why web", "Print why web is out."],
      ["hactl why web --now", "Check web anew, step by step."],
    ],
  },
  history: {
    summary: "print the last changes of records and of the outcomes of checks",
    takes: "any services",
    offers: "known services",
    flags: [...SUBJECT, "json", ...DAEMON],
    details: [
      "The daemon keeps the last 1,000 changes since its start. The newest one comes last.",
    ],
    examples: [["hactl history web", "Print what happened to web."]],
  },
  downed: {
    summary: "print every record in force",
    takes: "nothing",
    offers: null,
    flags: ["json", ...DAEMON],
    details: [],
    examples: [["hactl downed", "Print every service that is down or drains."]],
  },
  list: {
    summary: "print the services that HAProxy asked for in the last ten minutes",
    takes: "nothing",
    offers: null,
    flags: ["json", ...DAEMON],
    details: ["Prints the last response for each service."],
    examples: [["hactl list", "Print the services that HAProxy checks."]],
  },
  watch: {
    summary: "print the same as status, and again whenever it changes",
    takes: "any services",
    offers: "known services",
    flags: [...SUBJECT, "json", ...DAEMON],
    details: [
      "With --json it prints a line of JSON for each change of a record or of the outcome of a check, " +
      "from now on, as /status/history has them.",
      "On a terminal it draws the columns of status again after each change. Otherwise it prints one " +
      "line for each service, and another one when its state changes. Ctrl-C ends it.",
    ],
    examples: [
      ["hactl watch", "Watch everything on this host."],
      ["hactl watch web --daemon-file hosts", "Watch web on many hosts."],
      ["hactl watch --json", "Print each change, for a bot or a deployment."],
    ],
  },
  wait: {
    summary: "wait until the daemon reports services as up, down or healthy",
    takes: "services",
    offers: "known services",
    flags: [...SUBJECT, "up", "down", "healthy", ...DAEMON],
    details: [
      "--up and --down wait for the state by the records: a service is down if its own record or a " +
      "wider one says down or drain. --healthy waits for the services' own checks, whatever the " +
      "records say. hactl asks again if a daemon does not answer.",
      "Exits 0 once every daemon reports that state for every service, and 1 after --timeout.",
    ],
    examples: [
      ["hactl wait web --down --timeout 5m", "Wait until web is down, for at most 5 minutes."],
      ["hactl wait web db --up", "Wait until both are up."],
      ["hactl wait web --healthy --timeout 5m", "Wait until web's own checks succeed."],
    ],
  },
  completions: {
    summary: "print the completion script of a shell",
    takes: "a shell",
    offers: null,
    flags: [],
    details: [
      "The shell then completes commands, flags and services: for up those with a record, otherwise " +
      "all that are known.",
    ],
    examples: [
      ['eval "$(hactl completions bash)"', "Complete in this bash; zsh does the same."],
      ["hactl completions fish > ~/.config/fish/completions/hactl.fish", "Complete in each fish."],
    ],
  },
  help: {
    summary: "print help on a command",
    takes: "a command",
    offers: null,
    flags: [],
    details: [],
    examples: [["hactl help down", "Print the help on down."]],
  },
} satisfies Readonly<Record<string, CommandSpec>>;

/** The name of a command. */
export type CommandName = keyof typeof COMMANDS;

/** The names of the older tools, and the commands that they run. */
export const OLD_NAMES: ReadonlyMap<string, CommandName> = new Map([
  ["haup", "up"],
  ["hadown", "down"],
  ["hastatus", "status"],
  ["halist", "list"],
  ["hashowdowned", "downed"],
]);

/** The shells that have a completion script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** The operands of a command, as its synopsis shows them. */
export const OPERANDS: Readonly<Record<CommandSpec["takes"], string>> = {
  services: "SERVICE...",
  "services and a weight": "SERVICE... PERCENT",
  "any services": "[SERVICE...]",
  nothing: "",
  "a command": "[COMMAND]",
  "a shell": SHELLS.join("|"),
};
