import type { Checker, Verdict } from "../checks/check.ts";
import { MAX_BODY_BYTES } from "../net/http_client.ts";
import { checkRedis, type RedisCheckOptions, unexpected } from "./_redis.ts";

/** How many fields a reply may have. A Redis has some 200. */
export const MAX_FIELDS = 10_000;

/**
 * Makes the checker that sends `INFO` to a Redis. With the path `/match?field=value&…` it compares the fields,
 * and those of `CLUSTER INFO` if a name begins with `cluster_`.
 *
 * @returns A checker: 200 and the fields as a JSON object, up to the limit of a body, or the first pair that matches;
 * 500 if none matches or the reply is an error; 503 and why there is no reply.
 */
export function redisInfoChecker(options: RedisCheckOptions): Checker {
  return infoChecker(options, false);
}

/**
 * Makes the checker that does the same for a Sentinel. It adds the field `redis_master`: the address and port of the
 * first master of the Sentinel.
 *
 * @returns As {@linkcode redisInfoChecker}.
 */
export function sentinelInfoChecker(options: RedisCheckOptions): Checker {
  return infoChecker(options, true);
}

function infoChecker(options: RedisCheckOptions, ofSentinel: boolean): Checker {
  return (request, signal) =>
    checkRedis(request, options, signal, async (ask) => {
      const reply = await ask("INFO");
      if (!reply.startsWith("$")) return unexpected("INFO", reply);
      const fields = parseInfo(reply.slice(1));
      if (ofSentinel) addMaster(fields);
      const [path, query = ""] = request.path.split("?", 2);
      const wanted = new URLSearchParams(query);
      // As in the Python hachecks, `match` without a pair is ignored.
      if (path === "/match" && wanted.size > 0) {
        const isAboutCluster = [...wanted.keys()].some((name) => name.startsWith("cluster_"));
        if (isAboutCluster && fields.get("cluster_enabled") === "1") {
          const reply = await ask("CLUSTER", "INFO");
          if (!reply.startsWith("$")) return unexpected("CLUSTER INFO", reply);
          for (const [name, value] of parseInfo(reply.slice(1))) fields.set(name, value);
        }
        return match(fields, wanted);
      }
      return { code: 200, message: json(fields) };
    });
}

function parseInfo(info: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (let start = 0; start < info.length;) {
    const next = info.indexOf("\n", start);
    const end = next < 0 ? info.length : next;
    const line = info.slice(start, info[end - 1] === "\r" ? end - 1 : end);
    start = end + 1;
    const colon = line.indexOf(":");
    if (colon <= 0 || line.startsWith("#")) continue;
    if (fields.size >= MAX_FIELDS) throw new Error(`the reply has more than ${MAX_FIELDS} fields`);
    fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** `master0` is `name=main,status=ok,address=127.0.0.1:6379,slaves=0,sentinels=1`. */
function addMaster(fields: Map<string, string>): void {
  const [, address] = /(?:^|,)address=([^,]+)/.exec(fields.get("master0") ?? "") ?? [];
  if (address !== undefined) fields.set("redis_master", address);
}

/** Formats fields as JSON, without those that exceed the limit of a body. */
function json(fields: ReadonlyMap<string, string>): string {
  const encoder = new TextEncoder();
  // There is no comma after the last field.
  let room = MAX_BODY_BYTES - "{}".length + ",".length;
  const fitting = [...fields].filter((field) => {
    const bytes = encoder.encode(JSON.stringify(field)).length - "[]".length + ",".length;
    if (bytes > room) return false;
    room -= bytes;
    return true;
  });
  return JSON.stringify(Object.fromEntries(fitting));
}

function match(fields: ReadonlyMap<string, string>, wanted: URLSearchParams): Verdict {
  for (const [field, value] of wanted) {
    if (fields.get(field) === value) {
      return { code: 200, message: `Match found: field ${field}, value ${value}` };
    }
  }
  return { code: 500, message: "No matching field found", reason: "unhealthy" };
}
