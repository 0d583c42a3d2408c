/**
 * nginx.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const NGINX_PROGRAMS: readonly string[] = ["nginx"];

/** An nginx of 127.0.0.1. */
export class Nginx extends ServerProcess {
  readonly #serverOn: (address: string) => string;

  private constructor(serverOn: (address: string) => string) {
    super();
    this.#serverOn = serverOn;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param serverOn Makes its `server` sections, for the address to `listen` on.
   */
  static start(serverOn: (address: string) => string): Promise<Nginx> {
    return new Nginx(serverOn).launch();
  }

  protected override commandOn(port: number): readonly string[] {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${this.folder.file(name)};`).join("\n");
    const path = this.folder.write(
      "nginx.conf",
      `daemon off;
# One process, which ends by a signal.
master_process off;
pid ${this.folder.file("pid")};
error_log stderr;
events {}
http {
access_log off;
${temporary}
${this.#serverOn(`127.0.0.1:${port}`)}
}
`,
    );
    return ["nginx", "-e", "stderr", "-c", path];
  }
}
