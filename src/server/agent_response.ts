/**
 * Responses to HAProxy's agent checks, which are not HTTP: HAProxy sends one line and reads one line.
 *
 * @module
 */

import { oneLine } from "../text/control_characters.ts";
import { parseAgentName } from "../spool/names.ts";
import type { SpoolIndex } from "../spool/index.ts";

/** The word for a service that is down. */
export type AgentDown = "maint" | "down";

/** How much of a reason or of an invalid line is sent back, in characters. */
const MAX_SHOWN = 200;

/**
 * Makes the response to an agent check. HAProxy keeps a server's state until a response changes it: only `ready`
 * ends maintenance or draining, and only `up` makes a server that is down up again.
 *
 * A line that names no service gets `down`: without a response the server would stay in service whatever its
 * record is, and `down` shows the mistake in HAProxy's statistics.
 *
 * @param line `<service>/<port>` or `<service>`, without the line feed.
 * @param spool The records and weights.
 * @param down The word for a service that is down.
 * @returns Words separated by spaces, without the line feed.
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
  line: string,
  spool: Pick<SpoolIndex, "find" | "weight">,
  down: AgentDown,
): string {
  const subject = parseAgentName(line.trim());
  if (subject === undefined) {
    const received = oneLine(JSON.stringify(line.slice(0, MAX_SHOWN)));
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
  const why = oneLine(reason).trim().slice(0, MAX_SHOWN);
  return why === "" ? "down" : `down #${why}`;
}
