import type { Protocol } from "../check.ts";
import { httpChecker, type HttpCheckOptions } from "./http.ts";
import { mysqlChecker, type MysqlCheckOptions } from "./mysql.ts";
import { checkTcp } from "./tcp.ts";

/** What the checkers take from the configuration. */
export interface CheckerOptions {
  /** For `http`. */
  readonly http: HttpCheckOptions;
  /** For `mysql`. */
  readonly mysql: MysqlCheckOptions;
}

/**
 * The protocols that services are checked by. A new one is a file beside this and a line here.
 *
 * @param options What the checkers take from the configuration.
 * @returns From the name a URL begins with to the protocol.
 */
export function protocols(options: CheckerOptions): ReadonlyMap<string, Protocol> {
  const { serviceNameHeader } = options.http;
  return new Map<string, Protocol>([
    ["http", {
      check: httpChecker(options.http),
      shapedBy: serviceNameHeader === null ? ["path", "headers"] : ["path", "headers", "service"],
    }],
    ["mysql", { check: mysqlChecker(options.mysql), shapedBy: [] }],
    ["tcp", { check: checkTcp, shapedBy: [] }],
  ]);
}
