import { utf8 } from "./wire.ts";

/**
 * The line that reports a downtime, by the contract and not by the daemon's own code.
 *
 * @param service The name that is down.
 * @param reason Why.
 * @param creation Since when, in unix seconds; any time, if not given.
 * @param expiration Until when, if it ends.
 * @param mode The mode of the record.
 * @returns The line as it is sent, or a pattern of it.
 */
export function downLine(
  service: string,
  reason: string,
  creation: number | undefined,
  expiration: number | undefined,
  mode: "down" | "drain" = "down",
): string | RegExp {
  const why = reason.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]+/gu,
    " ",
  );
  const until = expiration === undefined ? "" : ` until ${expiration.toFixed(6)}`;
  const start = `Service ${service} in ${mode} state since `;
  const end = utf8(`${until}${why === "" ? "" : `: ${why}`}`);
  if (creation !== undefined) return `${start}${creation.toFixed(6)}${end}`;
  return new RegExp(`^${literally(start)}\\d+\\.\\d{6}${literally(end)}$`);
}

/** A pattern that matches a text and nothing else. */
function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
