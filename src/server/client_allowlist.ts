import type { Networks } from "../net/networks.ts";
import type { Refusals } from "./refusals.ts";
import { text } from "./responses.ts";
import { clientOf, type Router } from "./router.ts";

/** Why a client is refused. */
export const UNLISTED = "allowed_clients does not list it";

/**
 * Lets only some clients in. The others are told nothing but that they are not.
 *
 * @param clients Who they are.
 * @param router Answers them.
 * @param refusals Where it is told who was refused.
 */
export function onlyFor(clients: Networks, router: Router, refusals: Refusals): Router {
  return (request, info) => {
    const client = clientOf(info);
    if (clients.has(client)) return router(request, info);
    refusals.tell("clients", client, UNLISTED);
    return text(403, "Forbidden");
  };
}
