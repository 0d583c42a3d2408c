import { downLine } from "../load/down_line.ts";
import type { Downtimes } from "./model.ts";
import type { Behaviour } from "./targets.ts";

/** The services and downtimes of a run. */
export interface World {
  /** The ports of the services. */
  readonly ports: Readonly<Record<Behaviour, number>>;
  /** The downtimes that last for the whole run, by the name of their record. */
  readonly downtimes: Downtimes;
}

/** The creation time of these downtimes, in unix seconds. */
export const DOWN_SINCE = 1435694078.778886;

/** The reason of these downtimes. */
export const DOWN_REASON = "condemned";

/** The services that a POST sets down before the run, and the port or 0. */
export const ALWAYS_DOWN: readonly (readonly [service: string, port: number])[] = [
  ["condemned", 0],
  ["condemned.example-1", 0],
  ["_condemned_", 0],
  ["by-port", 8081],
];

/** The service on one port of one host that a record in the spool sets down before the run. */
export const BY_HOST = { service: "by-host", host: "127.0.0.2", port: 8082 } as const;

/** Services without a downtime. */
export const NEVER_DOWN: readonly string[] = [
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

/** Returns the downtimes that last for the whole run, by the name of their record. */
export function initialDowntimes(): Downtimes {
  const downtime = (service: string) => ({
    mode: "down" as const,
    line: downLine(service, DOWN_REASON, DOWN_SINCE, undefined),
  });
  return new Map([
    ...ALWAYS_DOWN.map(([service, port]) =>
      [port === 0 ? service : `${service}:${port}`, downtime(service)] as const
    ),
    [`${BY_HOST.service}:${BY_HOST.host}:${BY_HOST.port}`, downtime(BY_HOST.service)],
  ]);
}
