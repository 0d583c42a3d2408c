import type { Checker } from "../checks/check.ts";
import { checkRedis, type RedisCheckOptions, unexpected } from "./_redis.ts";

/**
 * Makes the checker that sends `PING` to a Redis or a Sentinel.
 *
 * @returns A checker: 200 `Sent PING, got back +PONG`, 500 and another reply, or 503 and why there is none.
 */
export function redisChecker(options: RedisCheckOptions): Checker {
  return (request, signal) =>
    checkRedis(request, options, signal, async (ask) => {
      const reply = await ask("PING");
      if (reply !== "+PONG") return unexpected("PING", reply);
      return { code: 200, message: "Sent PING, got back +PONG" };
    });
}
