/**
 * The answers to HAProxy's agent checks, which are no HTTP: HAProxy sends one line and reads one line.
 *
 * @module
 */

import { oneLine } from "../control_characters.ts";
import { parseAgentName } from "../spool/names.ts";
import type { SpoolWatcher } from "../spool/watcher.ts";

/** How an agent tells that something is marked down. */
export type AgentDown = "maint" | "down";

/** How much of a reason, or of a question that makes no sense, is told, in characters. */
const MAX_TOLD = 200;

/**
 * Answers an agent check. HAProxy keeps a server's state until an answer changes it: only `ready` ends
 * maintenance or draining, and only `up` makes a server that is down up again.
 *
 * A line that names no service is answered `down`, not left without an answer: silence would leave the server in
 * service whatever its record says, and `down` shows the mistake in HAProxy's statistics.
 *
 * @param question `<service>/<port>` or `<service>`, without the line feed.
 * @param spool The records and weights.
 * @param down Which word a server that is down gets.
 * @returns Words that are separated by spaces, without the line feed.
 *
 * @example
 * ```ts
 * import { agentResponse } from "./agent_response.ts";
 * import { SpoolIndex } from "../spool/index.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const spool = new SpoolIndex();
 * assertEquals(agentResponse("web/8080", spool, "maint"), "ready up 100%");
 * spool.set("web", { mode: "down", reason: "kernel", expiration: null, creation: null });
 * assertEquals(agentResponse("web/8080", spool, "maint"), "maint");
 * assertEquals(agentResponse("web/8080", spool, "down"), "down #kernel");
 * ```
 */
export function agentResponse(
  question: string,
  spool: Pick<SpoolWatcher, "find" | "weight">,
  down: AgentDown,
): string {
  const subject = parseAgentName(question.trim());
  if (subject === undefined) {
    const received = oneLine(JSON.stringify(question.slice(0, MAX_TOLD)));
    return `down #Bad question: expected <service>/<port>: received ${received}`;
  }
  const { service, port, host } = subject;
  const downtime = spool.find(service, port, host);
  if (downtime === undefined) {
    const weight = spool.weight(service, port, host);
    return weight === null ? "ready up" : `ready up ${weight}%`;
  }
  const { mode, reason } = downtime.record;
  if (mode === "drain") return "drain";
  if (down === "maint") return "maint";
  const why = oneLine(reason).trim().slice(0, MAX_TOLD);
  return why === "" ? "down" : `down #${why}`;
}
