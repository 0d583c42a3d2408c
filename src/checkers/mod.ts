import type { Protocol } from "../checks/check.ts";
import type { ProxyVersion } from "../net/proxy_protocol.ts";
import type { TlsSettingsByClient } from "../net/tls_clients.ts";
import type { HttpCheckOptions } from "./_http.ts";
import type { RedisLogin } from "./_redis.ts";
import { checkDns } from "./dns.ts";
import { grpcChecker } from "./grpc.ts";
import { h2cChecker, h2Checker } from "./h2.ts";
import { checkHaproxy } from "./haproxy.ts";
import { httpChecker } from "./http.ts";
import { httpsChecker } from "./https.ts";
import { ldapChecker, type LdapCheckOptions } from "./ldap.ts";
import { checkMemcached } from "./memcached.ts";
import { mysqlChecker, type MysqlCheckOptions } from "./mysql.ts";
import { postgresChecker, type PostgresCheckOptions } from "./postgres.ts";
import { redisChecker } from "./redis.ts";
import { redisInfoChecker, sentinelInfoChecker } from "./redis_info.ts";
import { smtpChecker, type SmtpCheckOptions } from "./smtp.ts";
import { checkTcp } from "./tcp.ts";

/** Versions of the PROXY protocol by `<protocol>` and `<protocol>/<service>`. */
type SendProxy = Readonly<Record<string, ProxyVersion | "off">>;

/** The configuration of the checkers. */
export interface CheckerOptions {
  /** For `http`. */
  readonly http: HttpCheckOptions;
  /** For `ldap`. */
  readonly ldap: LdapCheckOptions;
  /** For `mysql`. */
  readonly mysql: MysqlCheckOptions;
  /** For `postgres`. */
  readonly postgres: PostgresCheckOptions;
  /** For `redis`, `redis-info` and the same with TLS. */
  readonly redis: RedisLogin;
  /** For `sentinel`, `sentinel-info` and the same with TLS. */
  readonly sentinel: RedisLogin;
  /** For `smtp`. */
  readonly smtp: SmtpCheckOptions;
  /** The versions of the PROXY protocol by what is checked: `http`, or `http/web` for one service. */
  readonly sendProxy: SendProxy;
  /** The TLS settings of all of them. */
  readonly tls: TlsSettingsByClient;
}

/**
 * Makes the protocols. A new one is a file beside this and a line here.
 *
 * @returns The protocols by their names, the first part of a URL.
 */
export function protocols(options: CheckerOptions): ReadonlyMap<string, Protocol> {
  const named = options.http.serviceNameHeader !== null;
  const { tls } = options;
  const [redis, rediss, sentinel, sentinels] = [
    { ...options.redis, tls: null },
    { ...options.redis, tls: tls.rediss },
    { ...options.sentinel, tls: null },
    { ...options.sentinel, tls: tls.sentinels },
  ];
  const web = ["path", "headers", ...named ? ["service"] as const : []] as const;
  const all = new Map<string, Protocol>([
    ["dns", { check: checkDns, varyOn: ["path"] }],
    ["grpc", { check: grpcChecker(null), varyOn: ["path"] }],
    ["grpcs", { check: grpcChecker(tls.grpcs), varyOn: ["path"] }],
    ["h2", { check: h2Checker({ ...options.http, tls: tls.https }), varyOn: web }],
    ["h2c", { check: h2cChecker(options.http), varyOn: web }],
    ["haproxy", { check: checkHaproxy, varyOn: ["service", "headers", "path"] }],
    ["http", { check: httpChecker(options.http), varyOn: web }],
    ["https", { check: httpsChecker({ ...options.http, tls: tls.https }), varyOn: web }],
    ["ldap", { check: ldapChecker(options.ldap), varyOn: [] }],
    ["memcached", { check: checkMemcached, varyOn: [] }],
    ["mysql", { check: mysqlChecker({ ...options.mysql, tls: tls.mysql }), varyOn: ["path"] }],
    ["postgres", {
      check: postgresChecker({ ...options.postgres, tls: tls.postgres }),
      varyOn: ["path"],
    }],
    ["redis", { check: redisChecker(redis), varyOn: [] }],
    ["redis-info", { check: redisInfoChecker(redis), varyOn: ["path"] }],
    ["rediss", { check: redisChecker(rediss), varyOn: [] }],
    ["rediss-info", { check: redisInfoChecker(rediss), varyOn: ["path"] }],
    ["sentinel", { check: redisChecker(sentinel), varyOn: [] }],
    ["sentinel-info", { check: sentinelInfoChecker(sentinel), varyOn: ["path"] }],
    ["sentinels", { check: redisChecker(sentinels), varyOn: [] }],
    ["sentinels-info", { check: sentinelInfoChecker(sentinels), varyOn: ["path"] }],
    ["smtp", { check: smtpChecker({ ...options.smtp, tls: tls.smtp }), varyOn: [] }],
    ["smtps", { check: smtpChecker({ mode: "implicit", tls: tls.smtp }), varyOn: [] }],
    ["tcp", { check: checkTcp, varyOn: [] }],
  ]);
  for (const [name, protocol] of all) all.set(name, withProxy(name, protocol, options.sendProxy));
  return all;
}

/** Lets the checks of a protocol begin with a PROXY header, if that is configured for it or for some services. */
function withProxy(name: string, protocol: Protocol, sendProxy: SendProxy): Protocol {
  const targets = Object.keys(sendProxy).filter((target) => target.split("/")[0] === name);
  if (targets.length === 0) return protocol;
  const isByService = targets.some((target) => target !== name);
  return {
    check: (request, signal) => {
      const version = sendProxy[`${name}/${request.service}`] ?? sendProxy[name] ?? "off";
      return protocol.check(
        version === "off" ? request : { ...request, proxyVersion: version },
        signal,
      );
    },
    varyOn: isByService && !protocol.varyOn.includes("service")
      ? [...protocol.varyOn, "service"]
      : protocol.varyOn,
  };
}
