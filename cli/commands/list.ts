import type { LastAnswer } from "../../src/stats.ts";
import { type CommandContext, explained, tell } from "../command.ts";

/** How long the daemon may take to answer, in milliseconds. */
const PATIENCE_MS = 3000;

/** What `/recent` tells. */
interface Recent {
  readonly seen_services: readonly (readonly [service: string, last: LastAnswer | null])[];
}

/**
 * Tells which services the daemon was asked about lately, and what it answered.
 *
 * @returns 0, or 1 if the daemon does not tell.
 */
export async function list({ daemon }: CommandContext): Promise<number> {
  try {
    const { status, body } = await daemon.ask("/recent", [], AbortSignal.timeout(PATIENCE_MS));
    if (status !== 200) throw new Error(`expected status 200: received ${status}`);
    for (const [service, last] of (JSON.parse(body) as Recent).seen_services) {
      console.log(`${service} last_response=${spaced(last)}`);
    }
    return 0;
  } catch (error) {
    tell(`cannot ask the daemon on port ${daemon.port}: ${explained(error)}`);
    return 1;
  }
}

/** As the other hachecks print it. */
function spaced(last: LastAnswer | null): string {
  if (last === null) return "null";
  const { code, remote_ip, ts } = last;
  return `{"code": ${code}, "remote_ip": ${JSON.stringify(remote_ip)}, "ts": ${ts}}`;
}
