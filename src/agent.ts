/**
 * What HAProxy's agent checks are told. They speak no HTTP: one line is asked, and one is answered.
 *
 * @module
 */

import { LOCAL_ADDRESS } from "./addresses.ts";
import { ALL, isServiceName, type Subject } from "./spool/names.ts";
import { oneLine } from "./spool/record.ts";
import type { SpoolView } from "./spool/view.ts";

/** How an agent tells that something is marked down. */
export type AgentDown = "maint" | "down";

/** How much of a reason, or of a question that makes no sense, is told, in characters. */
const MAX_TOLD = 200;

/** What who asks nothing asks for. */
const EVERYTHING: Subject = { service: ALL, port: 0, host: LOCAL_ADDRESS };

/**
 * Answers an agent check. A HAProxy keeps to what it was told until it is told otherwise: only `ready`
 * takes it out of maintenance or draining, and only `up` makes what is down up again.
 *
 * @param question `<service>/<port>` or `<service>`, without the end of its line; undefined for none.
 * @param spool What is marked, and the weights.
 * @param down How it is told that something is down.
 * @returns Words that are parted by spaces, without the end of the line.
 *
 * @example
 * ```ts
 * import { agentAnswer } from "./agent.ts";
 * import { SpoolIndex } from "./spool/index.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const spool = new SpoolIndex();
 * assertEquals(agentAnswer("web/8080", spool, "maint"), "ready up 100%");
 * spool.set("web", { mode: "down", reason: "kernel", expiration: null, creation: null });
 * assertEquals(agentAnswer("web/8080", spool, "maint"), "maint");
 * assertEquals(agentAnswer("web/8080", spool, "down"), "down #kernel");
 * ```
 */
export function agentAnswer(
  question: string | undefined,
  spool: Pick<SpoolView, "find" | "weight">,
  down: AgentDown,
): string {
  const subject = question === undefined ? EVERYTHING : subjectOf(question);
  // As a check over HTTP that makes no sense it is not up, and HAProxy shows why.
  if (subject === undefined) {
    const received = oneLine(JSON.stringify(question!.slice(0, MAX_TOLD)));
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

/** What a question speaks of; undefined where it makes no sense. The port may be missing, as 0 is none. */
function subjectOf(question: string): Subject | undefined {
  const [, service = "", digits = ""] = /^([^/]*)(?:\/(\d{0,5}))?$/.exec(question.trim()) ?? [];
  const port = Number(digits);
  return isServiceName(service) && port <= 65535
    ? { service, port, host: LOCAL_ADDRESS }
    : undefined;
}
