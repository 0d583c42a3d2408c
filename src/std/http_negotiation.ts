import { accepts as negotiate } from "@std/http/negotiation";

/**
 * Picks the media type that a request prefers.
 *
 * @returns The best match; undefined if the request accepts none.
 */
export const accepts: (request: Request, ...types: string[]) => string | undefined = negotiate;
