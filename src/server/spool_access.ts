import type { Networks } from "../net/networks.ts";
import { timingSafeEqual } from "../std/crypto.ts";
import { browserOrigin } from "./csrf.ts";
import type { Refusals } from "./refusals.ts";
import { text } from "./responses.ts";

/** Which clients may change the spool by POST. */
export interface SpoolAccessOptions {
  /** Their addresses; null for all. */
  readonly clients: Networks | null;
  /** Their bearer token (RFC 6750); null for none. */
  readonly token: string | null;
  /** Counts and logs refused clients. */
  readonly refusals: Refusals;
}

/**
 * Checks whether a request may change the spool.
 *
 * Another site's page may make a browser send a request, so a browser needs the token, and is refused if the request
 * comes from another site.
 *
 * @param request The request.
 * @param client The client's address.
 * @param options Which clients may.
 * @returns The response to a refused client, without details; undefined if it may.
 */
export async function checkSpoolAccess(
  request: Request,
  client: string,
  { clients, token, refusals }: SpoolAccessOptions,
): Promise<Response | undefined> {
  const refuse = (why: string, response = text(403, "Forbidden")) => {
    refusals.report("spool_changes", client, why);
    return response;
  };
  if (clients !== null && !clients.has(client)) {
    return refuse("remote_spool_clients does not list it");
  }
  const origin = browserOrigin(request);
  if (origin === "other") return refuse("a browser sent it for another site");
  if (token === null) {
    return origin === undefined
      ? undefined
      : refuse("a browser sent it, and there is no remote_spool_token");
  }
  if (await isSame(bearerOf(request.headers), token)) return undefined;
  const headers = { "www-authenticate": "Bearer" };
  const response = new Response("Unauthorized", { status: 401, headers });
  return refuse("it does not have the remote_spool_token", response);
}

function bearerOf(headers: Headers): string {
  return /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";
}

/** Compares digests in constant time, so that the time reveals nothing about the token, not even its length. */
async function isSame(given: string, token: string): Promise<boolean> {
  const [one, other] = await Promise.all([digest(given), digest(token)]);
  return timingSafeEqual(one, other);
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
