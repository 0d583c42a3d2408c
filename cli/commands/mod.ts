/**
 * The commands of hactl. They load together, when the first of them runs: Deno starts the slower, the more
 * files a program has.
 *
 * @module
 */

import type { Command } from "../command.ts";
import type { CommandName } from "../command_spec.ts";
import { complete } from "./complete.ts";
import { completions } from "./completions.ts";
import { down } from "./down.ts";
import { downed } from "./downed.ts";
import { drain } from "./drain.ts";
import { help } from "./help.ts";
import { history } from "./history.ts";
import { list } from "./list.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";
import { wait } from "./wait.ts";
import { watch } from "./watch.ts";
import { weight } from "./weight.ts";
import { why } from "./why.ts";

export { complete };

/** The commands by their names. */
export const COMMANDS = {
  up,
  down,
  drain,
  weight,
  status,
  why,
  history,
  downed,
  list,
  watch,
  wait,
  completions,
  help,
} satisfies Readonly<Record<CommandName, Command>>;
