/**
 * The sub-commands and flags of hactl: what is understood, and what help, completions and the man page say
 * of it.
 *
 * @module
 */

import type { Flag } from "../src/flags.ts";
import { DEFAULT_SPOOL_ROOT } from "../src/spool/store.ts";
import type { Command } from "./command.ts";
import { down } from "./commands/down.ts";
import { downed } from "./commands/downed.ts";
import { drain } from "./commands/drain.ts";
import { status } from "./commands/status.ts";
import { up } from "./commands/up.ts";
import { weight } from "./commands/weight.ts";
import { more } from "./more.ts";

/** What tells the duration behind --healthy from a service. */
const DURATION = /^(?:\d+[wdhms])+$/;

/** A flag, and what is told of it. */
export interface FlagSpec extends Flag {
  /** What its value is called; null for one that takes none. */
  readonly value: string | null;
  /** What it does. */
  readonly summary: string;
  /** Whether every sub-command takes it, of use or not, as those of the older tools do. */
  readonly everywhere: boolean;
  /** What its values are, for who completes a command line: names of files, or these. */
  readonly values?: "files" | readonly string[];
}

/** A flag that the older tools have too. */
function old(short: string | null, value: string | null, summary: string): FlagSpec {
  return {
    ...flag(value, summary),
    ...short === null ? {} : { short },
    everywhere: true,
    isOld: true,
  };
}

/** A flag that only some sub-commands take. */
function flag(value: string | null, summary: string): FlagSpec {
  return { value, summary, takesValue: value !== null, everywhere: false };
}

/** The flags, by their long names, in the order in which they are told. */
export const FLAGS = {
  "service-port": old("P", "PORT", "speak of the services on this port only"),
  "service-host": old("H", "IP", "speak of them on this host only (default this machine)"),
  reason: { ...old("r", "REASON", "why (default who you are)"), mayBeEmpty: true },
  expiration: old("e", "UNIX_TIME", "when it ends, in unix seconds (default not by itself)"),
  for: flag("DURATION", "end it after so long: 30m, 1h30m, 2d"),
  until: flag("TIME", "end it then: 2026-12-01T08:00, 2026-12-01T08:00Z, 2026-12-01 or 08:00"),
  up: flag(null, "wait until all are up"),
  down: flag(null, "wait until all are down"),
  healthy: {
    ...flag(
      "DURATION",
      "wait until the services' own checks are good, whatever is marked: up lifts nothing before, " +
        "and gives up after DURATION",
    ),
    optionalValue: DURATION,
  },
  json: flag(null, "print JSON"),
  daemon: flag(
    "URL",
    "ask the hacheck at http://HOST[:PORT] or https://HOST[:PORT] instead of this host's; " +
      "may be repeated: all are asked at once",
  ),
  "daemon-file": {
    ...flag("FILE", 'ask those in this file, a URL a line, # comments ("-": standard input)'),
    values: "files",
  },
  timeout: flag(
    "DURATION",
    "give up after so long: wait as a whole (default never), else each daemon that is named (default 5s)",
  ),
  "ca-file": {
    ...flag(
      "FILE",
      'trust those who are in this file (PEM) and no others for https ("-": standard input)',
    ),
    values: "files",
  },
  "token-file": {
    ...old(null, "FILE", 'what to show a daemon that asks for a token ("-": standard input)'),
    values: "files",
    isOld: false,
  },
  port: old("p", "DAEMON_PORT", "hacheck's port on this host (default 3333)"),
  "spool-root": {
    ...old(null, "DIR", `where downtimes are kept (default ${DEFAULT_SPOOL_ROOT})`),
    values: "files",
  },
  action: {
    ...old("a", "ACTION", "up, down, status, list or status_downed, as the older tools have it"),
    values: ["up", "down", "status", "list", "status_downed"],
  },
  version: old(null, null, "print the version"),
  help: old("h", null, "print help"),
} satisfies Readonly<Record<string, FlagSpec>>;

/** The long name of a flag. */
export type FlagName = keyof typeof FLAGS;

/** A sub-command. */
export interface CommandSpec {
  /** What it does, in a few words. */
  readonly summary: string;
  /** What follows its name: services, one or more or none at all, or something else. */
  readonly takes:
    | "services"
    | "services and a weight"
    | "any services"
    | "nothing"
    | "a command"
    | "a shell";
  /** The services that who completes a command line is offered. */
  readonly offers: "what is down" | "what is known" | null;
  /** The flags that it has a use for. */
  readonly flags: readonly FlagName[];
  /** More about it, in whole sentences: a paragraph each. */
  readonly details: readonly string[];
  /** What may be typed, each with what it does. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Does its work. */
  readonly run: Command;
}

const WHERE: readonly FlagName[] = [
  "daemon",
  "daemon-file",
  "timeout",
  "ca-file",
  "token-file",
  "port",
  "spool-root",
];

const WHICH: readonly FlagName[] = ["service-port", "service-host"];

const WHY: readonly FlagName[] = ["reason", "expiration", "for", "until"];

const RETURNS =
  "When it returns, no answer of the daemon contradicts it any more; if one does after a second, it says " +
  "so and exits 1.";

/** The sub-commands by their names, in the order in which they are told. */
export const COMMANDS: ReadonlyMap<string, CommandSpec> = new Map<string, CommandSpec>([
  ["up", {
    summary: 'mark services up ("all" is everything on this host)',
    takes: "services",
    offers: "what is down",
    flags: [...WHICH, "healthy", "json", ...WHERE],
    details: [
      `Lifts what marks the very thing that is named; what is up already stays so. ${RETURNS}`,
      "With --healthy DURATION the daemon first runs the checks that balancers ask for, until all are " +
      "good. If they are not in time, nothing is lifted and the exit code is 1.",
    ],
    examples: [
      ["hactl up web", "Put web back into the balancers."],
      ["hactl up web -P 8080", "Lift what was marked for port 8080 alone."],
      ["hactl up web --healthy 5m", "Put web back once its own check is good."],
    ],
    run: up,
  }],
  ["down", {
    summary: "mark services down",
    takes: "services",
    offers: "what is known",
    flags: [...WHICH, ...WHY, "json", ...WHERE],
    details: [
      "Without -r the reason is who you are, unless that name stands in /etc/nonhumans. One of -e, --for " +
      `and --until lets it end by itself. ${RETURNS}`,
      "What is down already for the same reason keeps its beginning, and gets the new end.",
    ],
    examples: [
      ['hactl down web -r "kernel update" --for 30m', "Take web out for half an hour."],
      ["hactl down all --until 2026-12-01T08:00", "Take this host out until that morning."],
      [
        "hactl down web --daemon http://10.0.0.1:3333 --daemon http://10.0.0.2:3333",
        "Take web out on two other hosts.",
      ],
    ],
    run: down,
  }],
  ["drain", {
    summary: "have services finish what they have and get nothing new",
    takes: "services",
    offers: "what is known",
    flags: [...WHICH, ...WHY, "json", ...WHERE],
    details: [
      "Its checks are answered 404, by which a HAProxy with http-check disable-on-404 knows what drains; " +
      `to any other it is down. up puts it back. -r, -e, --for and --until are those of down. ${RETURNS}`,
    ],
    examples: [
      ["hactl drain web -r deploy", "Let web finish its downloads, and send nobody to it."],
    ],
    run: drain,
  }],
  ["weight", {
    summary: "give services a weight, from 0 to 100 per cent (100 takes it back)",
    takes: "services and a weight",
    offers: "what is known",
    flags: [...WHICH, ...WHY, "json", ...WHERE],
    details: [
      "Agent checks tell the weight, and nothing else does. It stays whatever is marked, until it is taken " +
      `back or over: -r, -e, --for and --until are those of down. ${RETURNS}`,
    ],
    examples: [
      ["hactl weight web 50 --for 1h", "Send web half of its share for an hour."],
      ["hactl weight web 100", "Send it all of it again."],
    ],
    run: weight,
  }],
  ["status", {
    summary: "tell what is marked down or drains; exit 1 if anything does",
    takes: "any services",
    offers: "what is known",
    flags: [...WHICH, "json", ...WHERE],
    details: [
      "Tells of the very things that are named. Without a name it tells of everything that is marked, " +
      "and of every service that the daemon was asked for in the last ten minutes, with the last " +
      "answer: in columns on a terminal, else a line for each, as for what is named.",
    ],
    examples: [
      ["hactl status", "Show everything."],
      ["hactl status web db", "Tell of web and of db."],
      [
        "hactl status --json --daemon-file hosts",
        "Tell of everything on many hosts, for programs.",
      ],
    ],
    run: status,
  }],
  ["downed", {
    summary: "tell of everything that is marked down or drains",
    takes: "nothing",
    offers: null,
    flags: ["json", ...WHERE],
    details: [],
    examples: [["hactl downed", "Tell of everything that is marked down."]],
    run: downed,
  }],
  ["list", {
    summary: "tell which services hacheck was asked about lately",
    takes: "nothing",
    offers: null,
    flags: ["json", ...WHERE],
    details: ["Tells of the last ten minutes, with the last answer for each service."],
    examples: [["hactl list", "Tell what the balancers ask for."]],
    run: async (context) => await (await more()).list(context),
  }],
  ["watch", {
    summary: "show what is marked, and show it anew whenever that changes",
    takes: "any services",
    offers: "what is known",
    flags: [...WHICH, ...WHERE],
    details: [
      "On a terminal it shows the columns of status, and draws them anew when something changes. " +
      "Otherwise it prints a line for each thing, and another one for each that changes. " +
      "It ends with Ctrl-C.",
    ],
    examples: [
      ["hactl watch", "Show everything that happens on this host."],
      ["hactl watch web --daemon-file hosts", "Show what happens to web on many hosts."],
    ],
    run: async (context) => await (await more()).watch(context),
  }],
  ["wait", {
    summary: "wait until the daemon says that services are up, down or healthy",
    takes: "services",
    offers: "what is known",
    flags: [...WHICH, "up", "down", "healthy", ...WHERE],
    details: [
      "Asks what the daemon says of the spool, by whatever keeps the service down: down is what is " +
      "marked down or draining, itself or by all; up is everything else. The service itself is not " +
      "checked, unless with --healthy: then the daemon runs the checks that balancers ask for, whatever " +
      "is marked. A daemon that does not answer is asked again.",
      "Exits 0 once all daemons say so of all services, and 1 if they do not within --timeout.",
    ],
    examples: [
      [
        "hactl wait web --down --timeout 5m",
        "Wait until web is marked down, for at most 5 minutes.",
      ],
      ["hactl wait web db --up", "Wait until both are marked up."],
      ["hactl wait web --healthy --timeout 5m", "Wait until the own check of web is good."],
    ],
    run: async (context) => await (await more()).wait(context),
  }],
  ["completions", {
    summary: "print what completes the command line, for bash, zsh or fish",
    takes: "a shell",
    offers: null,
    flags: [],
    details: ["Services are completed too: for up those that are down, else those that are known."],
    examples: [
      ['eval "$(hactl completions bash)"', "Complete from now on, in bash; zsh does the same."],
      [
        "hactl completions fish > ~/.config/fish/completions/hactl.fish",
        "Complete always, in fish.",
      ],
    ],
    run: async (context) => await (await more()).completions(context),
  }],
  ["help", {
    summary: "print help on a sub-command",
    takes: "a command",
    offers: null,
    flags: [],
    details: [],
    examples: [["hactl help down", "Tell all about down."]],
    run: async (context) => await (await more()).help(context),
  }],
]);

/** The names of the older tools, and what they do. */
export const OLD_NAMES: ReadonlyMap<string, string> = new Map([
  ["haup", "up"],
  ["hadown", "down"],
  ["hastatus", "status"],
  ["halist", "list"],
  ["hashowdowned", "downed"],
]);

/** The values of the older tools' `-a`, and what they do. */
export const OLD_ACTIONS: ReadonlyMap<string, string> = new Map([
  ["up", "up"],
  ["down", "down"],
  ["status", "status"],
  ["list", "list"],
  ["status_downed", "downed"],
]);

/** The shells whose command lines can be completed. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What follows a sub-command's name, as a synopsis tells it. */
export const OPERANDS: Readonly<Record<CommandSpec["takes"], string>> = {
  services: "SERVICE...",
  "services and a weight": "SERVICE... PERCENT",
  "any services": "[SERVICE...]",
  nothing: "",
  "a command": "[COMMAND]",
  "a shell": SHELLS.join("|"),
};
