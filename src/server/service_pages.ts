/**
 * The status pages about one service, for hactl.
 *
 * @module
 */

import { type CheckRequest, isFailure } from "../checks/check.ts";
import {
  byIdentity,
  type CheckReport,
  failingChecksFirst,
  mergeReports,
  milliseconds,
} from "../checks/outcomes.ts";
import type { Pipeline } from "../checks/pipeline.ts";
import type { QueryWorkers } from "./worker_queries.ts";
import type { LocalAddresses } from "../net/local_addresses.ts";
import type { SpoolIndex } from "../spool/index.ts";
import { isServiceName } from "../spool/names.ts";
import { parseCheckPath } from "./path.ts";
import { json, text } from "./responses.ts";
import { targetOf } from "./target.ts";

/** The most checks of one service that `?now` runs. */
export const MAX_PROBES = 16;

/** How much of a check's message is shown, in characters. */
const MAX_MESSAGE_SHOWN = 500;

/** The most checks that `/status/checks` shows, failing ones first. */
export const MAX_CHECKS_SHOWN = 5000;

/** What the pages about a service work with. */
export interface ServiceSources {
  /** Queries all workers. */
  readonly queryWorkers: QueryWorkers;
  /** Finds out which addresses are local. */
  readonly own: LocalAddresses;
  /** Runs checks. */
  readonly pipeline: Pick<Pipeline, "probe" | "cached">;
  /** The records and weights. */
  readonly index: Pick<SpoolIndex, "find">;
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
 * Reports on the checks that balancers requested lately.
 *
 * @param service A service; null for all.
 */
export async function checksReport(
  { queryWorkers }: Pick<ServiceSources, "queryWorkers">,
  service: string | null,
): Promise<{ readonly checks: readonly CheckReport[]; readonly checks_left_out: number }> {
  const merged = mergeReports(await queryWorkers("outcomes", service));
  const checks = failingChecksFirst(merged).slice(0, MAX_CHECKS_SHOWN);
  return { checks, checks_left_out: merged.length - checks.length };
}

/**
 * The checks of a service that balancers requested lately. With `?now` each is run, whatever the spool and the cache
 * say. Targets that `check_hosts` and `check_ports` do not allow are not among them (SSRF).
 */
async function checksPage(
  sources: ServiceSources,
  { path, query, client }: StatusRequest,
): Promise<Response | undefined> {
  const [, service = ""] = /^\/status\/checks\/([^?]*)/.exec(path) ?? [];
  if (!isServiceName(service)) return undefined;
  if (!query.has("now")) return json({ service, ...await checksReport(sources, service) });
  const recent = (await sources.queryWorkers("checks", service)).flat();
  // Several workers may know the same check.
  const distinct = new Map(
    recent.map((check) => [JSON.stringify({ ...check, askedAt: 0 }), check]),
  );
  const checks = [...distinct.values()].sort(byIdentity).slice(0, MAX_PROBES);
  return json({
    service,
    checks: await Promise.all(checks.map((check) => runNow(check, client, sources))),
    checks_left_out: distinct.size - checks.length,
  });
}

/** Runs a check, and reports what a balancer would be sent without that. */
async function runNow(check: CheckRequest, client: string, { pipeline, index }: ServiceSources) {
  const { protocol, service, host, port, path } = check;
  const found = index.find(service, port, host);
  const record = found === undefined ? null : { name: found.name, ...found.record };
  const cached = pipeline.cached(check);
  const start = performance.now();
  const verdict = await pipeline.probe(check, client);
  const elapsedMs = performance.now() - start;
  const { code, reason = null, tls = null, phases } = verdict;
  const { connect = 0, tls: handshake = 0, first_byte = 0, rest = 0 } = phases ?? {};
  const ranMs = connect + handshake + first_byte + rest;
  const queuedMs = Math.max(0, elapsedMs - ranMs);
  return {
    ...{ protocol, service, host, port, path, record, cached },
    verdict: {
      code,
      message: verdict.message.slice(0, MAX_MESSAGE_SHOWN),
      healthy: !isFailure(verdict),
      ...{ reason, tls, milliseconds: milliseconds(verdict, queuedMs, queuedMs + ranMs) },
    },
  };
}
