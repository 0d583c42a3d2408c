import type { Protocol } from "../checks/check.ts";
import type { HttpCheckOptions } from "./_http.ts";
import type { RedisLogin } from "./_redis.ts";
import { checkGrpc } from "./grpc.ts";
import { checkHaproxy } from "./haproxy.ts";
import { httpChecker } from "./http.ts";
import { httpsChecker, type HttpsCheckOptions } from "./https.ts";
import { mysqlChecker, type MysqlCheckOptions } from "./mysql.ts";
import { postgresChecker, type PostgresCheckOptions } from "./postgres.ts";
import { redisChecker } from "./redis.ts";
import { redisInfoChecker, sentinelInfoChecker } from "./redis_info.ts";
import { checkSmtp } from "./smtp.ts";
import { checkTcp } from "./tcp.ts";

/** The configuration of the checkers. */
export interface CheckerOptions {
  /** For `http`. */
  readonly http: HttpCheckOptions;
  /** For `https`. */
  readonly https: HttpsCheckOptions;
  /** For `mysql`. */
  readonly mysql: MysqlCheckOptions;
  /** For `postgres`. */
  readonly postgres: PostgresCheckOptions;
  /** For `redis` and `redis-info`. */
  readonly redis: RedisLogin;
  /** For `sentinel` and `sentinel-info`. */
  readonly sentinel: RedisLogin;
}

/**
 * Makes the protocols. A new one is a file beside this and a line here.
 *
 * @returns The protocols by their names, the first part of a URL.
 */
export function protocols(options: CheckerOptions): ReadonlyMap<string, Protocol> {
  const named = options.http.serviceNameHeader !== null;
  const web = ["path", "headers", ...named ? ["service"] as const : []] as const;
  return new Map<string, Protocol>([
    ["grpc", { check: checkGrpc, varyOn: ["path"] }],
    ["haproxy", { check: checkHaproxy, varyOn: ["service", "headers"] }],
    ["http", { check: httpChecker(options.http), varyOn: web }],
    ["https", { check: httpsChecker(options.https), varyOn: web }],
    ["mysql", { check: mysqlChecker(options.mysql), varyOn: [] }],
    ["postgres", { check: postgresChecker(options.postgres), varyOn: [] }],
    ["redis", { check: redisChecker(options.redis), varyOn: [] }],
    ["redis-info", { check: redisInfoChecker(options.redis), varyOn: ["path"] }],
    ["sentinel", { check: redisChecker(options.sentinel), varyOn: [] }],
    ["sentinel-info", { check: sentinelInfoChecker(options.sentinel), varyOn: ["path"] }],
    ["smtp", { check: checkSmtp, varyOn: [] }],
    ["tcp", { check: checkTcp, varyOn: [] }],
  ]);
}
