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

/** What the checkers take from the configuration. */
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
 * The protocols that services are checked by. A new one is a file beside this and a line here.
 *
 * @param options What the checkers take from the configuration.
 * @returns From the name a URL begins with to the protocol.
 */
export function protocols(options: CheckerOptions): ReadonlyMap<string, Protocol> {
  const named = options.http.serviceNameHeader !== null;
  const web = ["path", "headers", ...named ? ["service"] as const : []] as const;
  return new Map<string, Protocol>([
    ["grpc", { check: checkGrpc, shapedBy: ["path"] }],
    ["haproxy", { check: checkHaproxy, shapedBy: ["service", "headers"] }],
    ["http", { check: httpChecker(options.http), shapedBy: web }],
    ["https", { check: httpsChecker(options.https), shapedBy: web }],
    ["mysql", { check: mysqlChecker(options.mysql), shapedBy: [] }],
    ["postgres", { check: postgresChecker(options.postgres), shapedBy: [] }],
    ["redis", { check: redisChecker(options.redis), shapedBy: [] }],
    ["redis-info", { check: redisInfoChecker(options.redis), shapedBy: ["path"] }],
    ["sentinel", { check: redisChecker(options.sentinel), shapedBy: [] }],
    ["sentinel-info", { check: sentinelInfoChecker(options.sentinel), shapedBy: ["path"] }],
    ["smtp", { check: checkSmtp, shapedBy: [] }],
    ["tcp", { check: checkTcp, shapedBy: [] }],
  ]);
}
