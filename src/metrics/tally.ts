/** One more than the highest status code. */
const CODES = 600;

/**
 * Counts the checks of one protocol.
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
  /** Numbers beyond 32 bits, which a busy balancer reaches within a day. */
  readonly #answers = new Float64Array(CODES);

  /** How many were asked for and not refused. */
  requests = 0;

  /**
   * Counts an answer.
   *
   * @param code Its status code.
   */
  countResponse(code: number): void {
    this.#answers[code]!++;
  }

  /**
   * Tells how often which status was answered.
   *
   * @returns By the code; those that were never answered are left out.
   */
  responses(): Record<string, number> {
    const answers: Record<string, number> = {};
    for (const [code, count] of this.#answers.entries()) {
      if (count > 0) answers[code] = count;
    }
    return answers;
  }
}
