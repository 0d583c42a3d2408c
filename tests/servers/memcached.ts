/**
 * memcached.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const MEMCACHED_PROGRAMS: readonly string[] = ["memcached"];

/** A memcached of 127.0.0.1. */
export class Memcached extends ServerProcess {
  readonly #options: readonly string[];

  private constructor(options: readonly string[]) {
    super();
    this.#options = options;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param options Further options.
   */
  static start(...options: readonly string[]): Promise<Memcached> {
    return new Memcached(options).launch();
  }

  /**
   * Returns a counter.
   *
   * @param name Its name in `stats`.
   */
  async counter(name: string): Promise<number> {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    await connection.write(new TextEncoder().encode("stats\r\nquit\r\n"));
    const stats = await new Response(connection.readable).text();
    return Number(new RegExp(`^STAT ${name} (\\d+)`, "m").exec(stats)?.[1]);
  }

  protected override commandOn(port: number): readonly string[] {
    const user = Deno.uid() === 0 ? ["-u", "root"] : [];
    return [
      "memcached",
      "-l",
      "127.0.0.1",
      "-p",
      String(port),
      "-U",
      "0",
      ...user,
      ...this.#options,
    ];
  }
}
