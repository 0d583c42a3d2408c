/**
 * JSON about one service, for hactl: its records, and its own checks.
 *
 * @module
 */

import type { CheckRequest, Verdict } from "../checks/check.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import type { EntryReport, QueryWorkers } from "./worker_queries.ts";
import type { Pipeline } from "../checks/pipeline.ts";
import { isServiceName, type Subject } from "../spool/names.ts";
import { parseCheckPath } from "./path.ts";
import { json, text } from "./responses.ts";
import { targetOf } from "./target.ts";

/** The page about the records of a service. */
export const ENTRY_PAGE = "/status/services/";

/** The page about the checks of a service. */
export const CHECKS_PAGE = "/status/checks/";

/** How many checks of one service `?now` runs at most. */
export const MAX_PROBES = 16;

/** What these pages work with. */
export interface ServiceSources {
  /** Asks all workers. */
  readonly queryWorkers: QueryWorkers;
  /** Which addresses are this machine's. */
  readonly own: LocalAddresses;
  /** Runs checks. */
  readonly pipeline: Pick<Pipeline, "probe">;
}

/**
 * `/status/services/<service>/<port>`: the record and the weight that this name has itself, what keeps the
 * service out, and when a balancer last asked for it. hactl verifies its changes by this page.
 *
 * @param sources What the page works with.
 * @param path The path of the request.
 * @param headers Its headers, which may name a host.
 * @returns The page; 409 while the workers disagree; undefined for a path that names no service.
 */
export async function entryPage(
  { queryWorkers, own }: ServiceSources,
  path: string,
  headers: Headers,
): Promise<Response | undefined> {
  const asked = parseCheckPath(path.slice("/status".length));
  if (asked === undefined) return undefined;
  const target = await targetOf(headers, asked.port, own);
  if (typeof target === "string") return text(400, target);
  if (target.host === null) return text(400, target.fault);
  const subject: Subject = { service: asked.service, port: target.port, host: target.host };
  const [first, ...others] = await queryWorkers("entry", subject);
  const { last_asked: _, ...said } = first!;
  const agree = others.every(({ last_asked: _, ...other }) =>
    JSON.stringify(other) === JSON.stringify(said)
  );
  if (!agree) return text(409, "The event loops do not say the same yet");
  return json({ ...said, last_asked: latest([first!, ...others]) });
}

function latest(reports: readonly EntryReport[]): number | null {
  return reports.reduce<number | null>((last, { last_asked }) => {
    return last_asked !== null && (last === null || last_asked > last) ? last_asked : last;
  }, null);
}

/**
 * `/status/checks/<service>`: the checks of a service that balancers asked for in the last ten minutes. With
 * `?now` each is run, whatever the spool and the cache say. No other target can be reached this way, and
 * none that `check_hosts` and `check_ports` exclude: such checks are never remembered.
 *
 * @param sources What the page works with.
 * @param path The path of the request.
 * @param _headers Its headers, which make no difference.
 * @param client The address of the client that asks.
 * @returns The page; undefined for a path that names no service.
 */
export async function checksPage(
  { queryWorkers, pipeline }: ServiceSources,
  path: string,
  _headers: Headers,
  client: string,
): Promise<Response | undefined> {
  const [name = "", query = ""] = path.slice(CHECKS_PAGE.length).split("?");
  if (!isServiceName(name)) return undefined;
  const checks = distinct((await queryWorkers("checks", name)).flat()).slice(0, MAX_PROBES);
  const isNow = new URLSearchParams(query).has("now");
  return json({
    service: name,
    checks: await Promise.all(checks.map(async (check) => {
      const { protocol, service, host, port, path } = check;
      const shown = { protocol, service, host, port, path };
      return isNow
        ? { ...shown, verdict: verdictShown(await pipeline.probe(check, client)) }
        : shown;
    })),
  });
}

/** How much of a check's message is shown, in characters. */
const MAX_MESSAGE_SHOWN = 500;

function verdictShown({ code, message }: Verdict): Verdict & { healthy: boolean } {
  // HAProxy takes 2xx and 3xx for up.
  return { code, message: message.slice(0, MAX_MESSAGE_SHOWN), healthy: code >= 200 && code < 400 };
}

/** Each check once: several workers may have been asked for the same one. */
function distinct(checks: readonly CheckRequest[]): CheckRequest[] {
  const known = new Map<string, CheckRequest>();
  for (const check of checks) known.set(JSON.stringify(check), check);
  return [...known.values()];
}
