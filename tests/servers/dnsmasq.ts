/**
 * dnsmasq, a DNS server.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const DNSMASQ_PROGRAMS: readonly string[] = ["dnsmasq"];

/** A dnsmasq of 127.0.0.1 that asks no other server. */
export class Dnsmasq extends ServerProcess {
  readonly #options: readonly string[];

  private constructor(options: readonly string[]) {
    super();
    this.#options = options;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param options Further options, such as `--address=/web.example/10.0.0.1`.
   */
  static start(...options: readonly string[]): Promise<Dnsmasq> {
    return new Dnsmasq(options).launch();
  }

  protected override commandOn(port: number): readonly string[] {
    return [
      ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"],
      ...["--listen-address=127.0.0.1", "--bind-interfaces", `--port=${port}`],
      ...[`--pid-file=${this.folder.file("pid")}`, "--log-facility=-", "--log-queries"],
      ...Deno.uid() === 0 ? ["--user=root"] : [],
      ...this.#options,
    ];
  }
}
