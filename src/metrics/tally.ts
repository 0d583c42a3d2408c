/** One more than the highest status code. */
const CODES = 600;

/**
 * Counts the requests and responses of one protocol.
 *
 * @example
 * ```ts
 * import { Tally } from "./tally.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const tally = new Tally();
 * tally.countResponse(200);
 * tally.countResponse(503);
 * tally.countResponse(200);
 * assertEquals(tally.responses(), { "200": 2, "503": 1 });
 * ```
 */
export class Tally {
  /** By status code. Floats, since 32 bits would overflow within a day. */
  readonly #responses = new Float64Array(CODES);

  /** Number of accepted requests. */
  requests = 0;

  /**
   * Counts a response.
   *
   * @param code Its status code. Others than 0 to 599 are ignored.
   */
  countResponse(code: number): void {
    this.#responses[code]!++;
  }

  /**
   * Returns the number of responses, by status code.
   */
  responses(): Record<string, number> {
    const responses: Record<string, number> = {};
    for (const [code, count] of this.#responses.entries()) {
      if (count > 0) responses[code] = count;
    }
    return responses;
  }
}
