import type { Networks } from "../net/networks.ts";
import type { Refusals } from "./refusals.ts";
import { text } from "./responses.ts";
import { clientAddress, type Router } from "./router.ts";

/** Why a client is refused. */
export const NOT_LISTED = "allowed_clients does not list it";

/**
 * Rejects other clients than the listed ones with 403.
 *
 * @param clients The listed clients.
 * @param router Responds to their requests.
 * @param refusals Counts and logs the others.
 */
export function clientAllowlist(clients: Networks, router: Router, refusals: Refusals): Router {
  return (request, info) => {
    const client = clientAddress(info);
    if (clients.has(client)) return router(request, info);
    refusals.report("clients", client, NOT_LISTED);
    return text(403, "Forbidden");
  };
}
