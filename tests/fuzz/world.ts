import { downLine } from "../load/down_line.ts";
import type { Marks } from "./model.ts";
import type { Manner } from "./targets.ts";

/** What all requests of a run are about. */
export interface World {
  /** Where services are. */
  readonly ports: Readonly<Record<Manner, number>>;
  /** What is down for the whole run, by the name of its record. */
  readonly condemned: Marks;
}

/** Since when what is condemned is down, in unix seconds. */
export const CONDEMNED_SINCE = 1435694078.778886;

/** Why. */
export const CONDEMNED_BECAUSE = "condemned";

/** What is marked down by POST before all, and is never marked up: the service, and the port or 0. */
export const CONDEMNED: readonly (readonly [service: string, port: number])[] = [
  ["condemned", 0],
  ["condemned.example-1", 0],
  ["_condemned_", 0],
  ["by-port", 8081],
];

/** What a file of the spool keeps down before all: a service on one port of one host. */
export const BY_HOST = { service: "by-host", host: "127.0.0.2", port: 8082 } as const;

/** Services that are never marked. */
export const FREE: readonly string[] = [
  "web",
  "api.example.org",
  "a",
  ".dotted",
  "-",
  "_",
  "...",
  "0",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "status",
  "spool",
  "W".repeat(200),
];

/**
 * What is condemned, by the name of its record.
 */
export function condemned(): Marks {
  const mark = (service: string) => ({
    mode: "down" as const,
    line: downLine(service, CONDEMNED_BECAUSE, CONDEMNED_SINCE, undefined),
  });
  return new Map([
    ...CONDEMNED.map(([service, port]) =>
      [port === 0 ? service : `${service}:${port}`, mark(service)] as const
    ),
    [`${BY_HOST.service}:${BY_HOST.host}:${BY_HOST.port}`, mark(BY_HOST.service)],
  ]);
}
