/**
 * What only some sub-commands need.
 *
 * @module
 */

export { closest } from "./closest.ts";
export { completions } from "./commands/completions.ts";
export { help } from "./commands/help.ts";
export { list } from "./commands/list.ts";
export { wait } from "./commands/wait.ts";
export { watch } from "./commands/watch.ts";
export { downedOnAll } from "./downed_on_all.ts";
export { markAll, markUpOnAll, weighAll } from "./fleet_changes.ts";
export { helpOn, usage } from "./help.ts";
export { awaitHealthy } from "./health.ts";
export { tellFailing, tellKeptOut, tellNeverAsked, whoseRecord } from "./notices.ts";
export { overview } from "./overview.ts";
export { askRecent } from "./recent.ts";
export { resolveHost } from "./resolve_host.ts";
