import type { Networks } from "../net/networks.ts";
import type { Refusals } from "./refusals.ts";
import { text } from "./responses.ts";
import { clientAddress, type Router } from "./router.ts";

/** Why a client is refused. */
export const NOT_LISTED = "allowed_clients does not list it";

/**
 * Lets only some clients in. The others are told nothing but that they are not.
 *
 * @param clients Who they are.
 * @param router Answers them.
 * @param refusals Where it is told who was refused.
 */
export function clientAllowlist(clients: Networks, router: Router, refusals: Refusals): Router {
  return (request, info) => {
    const client = clientAddress(info);
    if (clients.has(client)) return router(request, info);
    refusals.report("clients", client, NOT_LISTED);
    return text(403, "Forbidden");
  };
}
