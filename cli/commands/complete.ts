import { ALL } from "../../src/spool/names.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import { type CommandLine, parseFlags } from "../../src/flags.ts";
import { portIn, storeIn } from "../command_line.ts";
import {
  type CommandName,
  COMMANDS,
  type CommandSpec,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OLD_NAMES,
  SHELLS,
} from "../command_spec.ts";
import { LocalDaemon } from "../daemons/local.ts";
import { fetchRecent } from "../daemons/responses.ts";
import { readActiveDowntimes } from "../report/active_entries.ts";

/** How long the daemon may take to list services, in milliseconds: the operator waits. */
const DAEMON_TIMEOUT_MS = 1000;

/** The flags that every command accepts and completes. */
const COMMON: readonly FlagName[] = ["version", "help"];

/**
 * Prints what a word of hactl's command line can be completed to, for the scripts of
 * {@linkcode COMPLETIONS}: a candidate a line, some with a tab and a description, or `:files` where the shell
 * completes names of files. Prints nothing of a spool or a daemon that does not answer.
 *
 * @param words The command line up to the word that is completed.
 * @param line The command line of hactl itself.
 * @returns 0.
 */
export async function complete(words: readonly string[], line: CommandLine): Promise<number> {
  const completed = parsed(words.slice(1, -1)) ?? line;
  const port = portIn(completed.has("port") ? completed : line);
  const store = storeIn(completed.has("spool-root") ? completed : line);
  const candidates = await candidatesFor(words, store, new LocalDaemon(port, null));
  if (candidates.length > 0) console.log(candidates.join("\n"));
  return 0;
}

/** Parses the command line that is completed; undefined while it is not valid. */
function parsed(words: readonly string[]): CommandLine | undefined {
  try {
    const line = parseFlags(words, FLAGS);
    portIn(line);
    return line;
  } catch {
    return undefined;
  }
}

async function candidatesFor(
  words: readonly string[],
  store: SpoolStore,
  daemon: LocalDaemon,
): Promise<readonly string[]> {
  const [program = "", ...before] = words.slice(0, -1);
  let command: string | undefined = OLD_NAMES.get(program.slice(program.lastIndexOf("/") + 1));
  let pending: FlagSpec | undefined;
  for (const word of before) {
    if (pending !== undefined) pending = undefined;
    else if (word.startsWith("-")) pending = flagWithValue(word);
    else command ??= word;
  }
  if (pending !== undefined) {
    return pending.values === "files" ? [":files"] : pending.values ?? [];
  }
  const isFlag = words.at(-1)?.startsWith("-") ?? false;
  if (command === undefined) return isFlag ? flags(COMMON) : commands();
  if (!Object.hasOwn(COMMANDS, command)) return [];
  const spec: CommandSpec = COMMANDS[command as CommandName];
  if (isFlag) return flags([...spec.flags, ...COMMON]);
  if (spec.takes === "a command") return commands();
  if (spec.takes === "a shell") return SHELLS;
  if (spec.offers === null) return [];
  const withRecord = await servicesWithRecord(store);
  const services = spec.offers === "services with a record"
    ? withRecord
    : [ALL, ...withRecord, ...await recentServices(daemon)];
  return [...new Set(services)].sort();
}

function flagWithValue(word: string): FlagSpec | undefined {
  return Object.entries<FlagSpec>(FLAGS).find(([name, { short, takesValue }]) =>
    takesValue && (word === `--${name}` || word === `-${short}`)
  )?.[1];
}

function commands(): string[] {
  return Object.entries(COMMANDS).map(([name, { summary }]) => `${name}\t${summary}`);
}

function flags(names: readonly FlagName[]): string[] {
  return names.flatMap((name) => {
    const { short, summary }: FlagSpec = FLAGS[name];
    const spellings = short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
    return spellings.map((spelling) => `${spelling}\t${summary}`);
  });
}

async function servicesWithRecord(store: SpoolStore): Promise<string[]> {
  try {
    return (await readActiveDowntimes(store)).map(({ service }) => service);
  } catch {
    return [];
  }
}

async function recentServices(daemon: LocalDaemon): Promise<string[]> {
  try {
    const recent = await fetchRecent(daemon, AbortSignal.timeout(DAEMON_TIMEOUT_MS));
    return recent.map(([service]) => service);
  } catch {
    return [];
  }
}
