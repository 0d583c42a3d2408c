/**
 * hactl, the operator's tool.
 *
 * @module
 */

import { requireTestedDeno } from "../src/runtime/deno_release.ts";
import { type CommandLine, parseFlags, UsageError } from "../src/flags.ts";
import { VERSION } from "../src/runtime/version.ts";
import { contextOf, invocationOf } from "./command_line.ts";
import { FLAGS, OLD_NAMES } from "./command_spec.ts";
import { printNamed } from "./commands/named_status.ts";
import { warn } from "./terminal.ts";

/**
 * Runs hactl.
 *
 * @param args The command line.
 * @param calledAs The name of the program.
 * @returns The exit status: 2 for an invalid command line, otherwise that of the command.
 */
export async function main(args: readonly string[], calledAs = "hactl"): Promise<number> {
  try {
    const isEmpty = args.length === 0 && !OLD_NAMES.has(calledAs);
    return await run(parseFlags(isEmpty ? ["--help"] : args, FLAGS), calledAs);
  } catch (error) {
    if (error instanceof UsageError) {
      warn(`${error.message} (see hactl --help)`);
      return 2;
    }
    if (!isOutOfSpace(error)) throw error;
    warn(`cannot write the output: ${error.message}`);
    return 1;
  }
}

/** Commands report the full disk of a spool themselves: another one is that of the output. */
function isOutOfSpace(error: unknown): error is Error {
  return error instanceof Error && "code" in error && error.code === "ENOSPC";
}

async function run(line: CommandLine, calledAs: string): Promise<number> {
  if (line.has("help")) return await help(line, calledAs);
  if (line.has("version")) {
    console.log(`hactl ${VERSION}`);
    return 0;
  }
  const [first, ...words] = line.operands;
  if (first === "__complete") {
    const { complete } = await import("./commands/mod.ts");
    return await complete(words, line);
  }
  const invocation = invocationOf(line, calledAs);
  const { name } = invocation;
  const context = await contextOf(invocation, line);
  const { subjects, daemons } = context;
  // Monitoring does this all the time, so it runs without the code of the other commands.
  const isForScripts = name === "status" && subjects.length > 0 && daemons.length === 0 &&
    !Deno.stdout.isTerminal();
  if (isForScripts) return (await printNamed(context)).code;
  return await (await import("./commands/mod.ts")).COMMANDS[name](context);
}

async function help(line: CommandLine, calledAs: string): Promise<number> {
  const isGeneral = line.operands.length === 0 && !line.has("action") && !OLD_NAMES.has(calledAs);
  const operands = isGeneral ? [] : [invocationOf(line, calledAs).name];
  return await (await import("./commands/mod.ts")).COMMANDS.help({ operands });
}

/** Returns the name that a compiled hactl was called by. Only there is it worth the 12 ms it takes. */
async function calledAs(): Promise<string> {
  if (!Deno.build.standalone) return "hactl";
  const { argv0 } = (await import("node:process")).default;
  return argv0.slice(argv0.lastIndexOf("/") + 1);
}

if (import.meta.main) {
  requireTestedDeno("hactl");
  Deno.exit(await main(Deno.args, await calledAs()));
}
