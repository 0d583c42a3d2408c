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
export { markAll, markUpOnAll, weighAll } from "./daemons/fleet_changes.ts";
export { helpOn, usage } from "./help.ts";
export { awaitHealthy } from "./daemons/health.ts";
export { tellFailing, tellKeptOut, tellNeverAsked, whoseRecord } from "./notices.ts";
export { overview } from "./report/overview.ts";
export { askRecent } from "./daemons/recent.ts";
export { resolveHost } from "./daemons/resolve_host.ts";
