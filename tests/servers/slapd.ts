/**
 * OpenLDAP's slapd.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const SLAPD_PROGRAMS: readonly string[] = ["/usr/sbin/slapd"];

/** The administrator of every {@linkcode Slapd}. */
export const ADMIN = { username: "cn=admin,dc=example", password: "secret" } as const;

/** A slapd of 127.0.0.1 with an empty database. */
export class Slapd extends ServerProcess {
  readonly #settings: string;

  private constructor(settings: string) {
    super();
    this.#settings = settings;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param settings Further lines of its configuration.
   */
  static start(settings = ""): Promise<Slapd> {
    return new Slapd(settings).launch();
  }

  protected override prepare(): Promise<void> {
    Deno.mkdirSync(this.folder.file("data"));
    this.folder.write(
      "slapd.conf",
      `include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${this.folder.file("pid")}
${this.#settings}
database mdb
suffix "dc=example"
rootdn "${ADMIN.username}"
rootpw ${ADMIN.password}
directory ${this.folder.file("data")}
maxsize 1048576
`,
    );
    return Promise.resolve();
  }

  protected override commandOn(port: number): readonly string[] {
    // Statistics of connections and operations go to stderr.
    return [
      ...["/usr/sbin/slapd", "-h", `ldap://127.0.0.1:${port}`],
      ...["-f", this.folder.file("slapd.conf"), "-d", "256"],
    ];
  }
}
