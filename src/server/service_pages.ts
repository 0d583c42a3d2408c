/**
 * The status pages about one service, for hactl.
 *
 * @module
 */

import { type CheckRequest, isFailure } from "../checks/check.ts";
import type { Pipeline } from "../checks/pipeline.ts";
import type { QueryWorkers } from "./worker_queries.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import { isServiceName } from "../spool/names.ts";
import { parseCheckPath } from "./path.ts";
import { json, text } from "./responses.ts";
import { targetOf } from "./target.ts";

/** The most checks of one service that `?now` runs. */
export const MAX_PROBES = 16;

/** How much of a check's message is shown, in characters. */
const MAX_MESSAGE_SHOWN = 500;

/** What the pages about a service work with. */
export interface ServiceSources {
  /** Queries all workers. */
  readonly queryWorkers: QueryWorkers;
  /** Finds out which addresses are local. */
  readonly own: LocalAddresses;
  /** Runs checks. */
  readonly pipeline: Pick<Pipeline, "probe">;
}

/** A request for a status page. */
export interface StatusRequest {
  /** The path and query string. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** The client's address. */
  readonly client: string;
}

/** Renders a page about a service; undefined if the path names no service. */
type ServicePage = (
  sources: ServiceSources,
  request: StatusRequest,
) => Promise<Response | undefined>;

/** The pages about a service, by the start of their paths. */
export const SERVICE_PAGES: readonly (readonly [prefix: string, page: ServicePage])[] = [
  ["/status/services/", entryPage],
  ["/status/checks/", checksPage],
];

/**
 * The service's own record and weight, the record that keeps it out, the weight that agent checks report, and
 * when a balancer last requested it. 409 until all workers agree: hactl verifies its changes by this page.
 */
async function entryPage(
  { queryWorkers, own }: ServiceSources,
  { path, headers }: StatusRequest,
): Promise<Response | undefined> {
  const check = parseCheckPath(path.slice("/status".length));
  if (check === undefined) return undefined;
  const target = await targetOf(headers, check.port, own);
  if (typeof target === "string") return text(400, target);
  if (target.host === null) return text(400, target.problem);
  const subject = { service: check.service, port: target.port, host: target.host };
  const reports = await queryWorkers("entry", subject);
  const states = reports.map((report) => JSON.stringify({ ...report, last_asked: null }));
  if (new Set(states).size > 1) return text(409, "The workers do not agree yet");
  const times = reports.flatMap(({ last_asked }) => last_asked ?? []);
  return json({ ...reports[0], last_asked: times.length === 0 ? null : Math.max(...times) });
}

/**
 * The checks of a service that balancers requested lately. With `?now` each is run, whatever the spool and the cache
 * say. Targets that `check_hosts` and `check_ports` do not allow are not among them (SSRF).
 */
async function checksPage(
  { queryWorkers, pipeline }: ServiceSources,
  { path, query, client }: StatusRequest,
): Promise<Response | undefined> {
  const [, service = ""] = /^\/status\/checks\/([^?]*)/.exec(path) ?? [];
  if (!isServiceName(service)) return undefined;
  const recent = (await queryWorkers("checks", service)).flat();
  // Several workers may know the same check.
  const distinct = new Map(recent.map((check) => [JSON.stringify(check), check]));
  const checks = [...distinct.values()].slice(0, MAX_PROBES);
  const report = async (check: CheckRequest) => {
    const { protocol, service, host, port, path } = check;
    const shown = { protocol, service, host, port, path };
    if (!query.has("now")) return shown;
    const verdict = await pipeline.probe(check, client);
    const { code } = verdict;
    const message = verdict.message.slice(0, MAX_MESSAGE_SHOWN);
    return { ...shown, verdict: { code, message, healthy: !isFailure(verdict) } };
  };
  return json({ service, checks: await Promise.all(checks.map(report)) });
}
