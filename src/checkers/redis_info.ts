import type { Checker, Verdict } from "../check.ts";
import { MAX_BODY_BYTES } from "../http_client.ts";
import { askRedis, type RedisLogin, unexpected } from "./_redis.ts";

/** How many fields a reply may have: a Redis has some 200. */
export const MAX_FIELDS = 10_000;

/**
 * Makes the checker that sends `INFO` to a Redis or a Sentinel.
 *
 * With the path `/match?field=value&…` it looks for one pair that matches.
 *
 * @param login Who logs in.
 * @returns A checker: 200 with the fields as a JSON object, those that fit into what is passed on of
 * any service, or with the pair that matches; 500 if none matches or the reply is an error; 503 and
 * why there is no reply.
 */
export function redisInfoChecker(login: RedisLogin): Checker {
  return (request, signal) =>
    askRedis(request, login, "INFO", signal, (reply) => {
      if (!reply.startsWith("$")) return unexpected("INFO", reply);
      const fields = parseInfo(reply.slice(1));
      const [path, query = ""] = request.path.split("?", 2);
      if (path === "/match") return match(fields, new URLSearchParams(query));
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

/** As much as is passed on of any service: fields that do not fit are left out. */
function json(fields: ReadonlyMap<string, string>): string {
  const encoder = new TextEncoder();
  // After the last field there is no comma.
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
  return { code: 500, message: "No matching field found" };
}
