import type { Networks } from "../net/networks.ts";
import type { Refusals } from "./refusals.ts";
import { text } from "./responses.ts";
import { browserOrigin } from "./csrf.ts";
import { timingSafeEqual } from "../std/crypto.ts";

/** Who may change the spool by POST. */
export interface SpoolAccessOptions {
  /** From where; null for everywhere. */
  readonly clients: Networks | null;
  /** With which bearer token (RFC 6750); null for none. */
  readonly token: string | null;
  /** Where it is told who was refused. */
  readonly refusals: Refusals;
}

/**
 * Tells whether a request may change the spool.
 *
 * What a browser sends another site's page may have made it send, and its user knows nothing of it: so none
 * is let in without a token. With one the page of this daemon is, since no other site has that.
 *
 * @param request The request.
 * @param client The address of who sent it.
 * @param options Who may.
 * @returns The response to who may not, which tells nothing but that; undefined for who may.
 */
export async function checkSpoolAccess(
  request: Request,
  client: string,
  { clients, token, refusals }: SpoolAccessOptions,
): Promise<Response | undefined> {
  if (clients !== null && !clients.has(client)) {
    refusals.report("spool_changes", client, "remote_spool_clients does not list it");
    return text(403, "Forbidden");
  }
  const origin = browserOrigin(request);
  if (origin === "other" || origin === "same" && token === null) {
    const why = origin === "other"
      ? "a browser sent it for another site"
      : "a browser sent it, and there is no remote_spool_token";
    refusals.report("spool_changes", client, why);
    return text(403, "Forbidden");
  }
  if (token === null || await isSame(bearerOf(request.headers), token)) return undefined;
  refusals.report("spool_changes", client, "it does not have the remote_spool_token");
  return new Response("Unauthorized", { status: 401, headers: { "www-authenticate": "Bearer" } });
}

function bearerOf(headers: Headers): string {
  return /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";
}

/** Compares digests, so that how long it takes tells nothing of the token, not even its length. */
async function isSame(given: string, token: string): Promise<boolean> {
  const [one, other] = await Promise.all([digest(given), digest(token)]);
  return timingSafeEqual(one, other);
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
