/**
 * Postfix.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

const PROGRAMS = "/usr/lib/postfix/sbin";

/** The programs that it needs. */
export const POSTFIX_PROGRAMS: readonly string[] = [`${PROGRAMS}/master`, `${PROGRAMS}/smtpd`];

/** A Postfix of 127.0.0.1 that delivers nothing. Only root can start it. */
export class Postfix extends ServerProcess {
  readonly #settings: string;

  private constructor(settings: string) {
    super();
    this.#settings = settings;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param settings Further lines of main.cf.
   */
  static start(settings = ""): Promise<Postfix> {
    return new Postfix(settings).launch();
  }

  protected override async prepare(): Promise<void> {
    const { folder } = this;
    for (const name of ["etc", "data", "queue", "queue/pid", "queue/private", "queue/public"]) {
      Deno.mkdirSync(folder.file(name));
    }
    // Its child processes are not root, and must be able to enter the folder.
    Deno.chmodSync(folder.path, 0o711);
    const owned = ["data", "queue/private", "queue/public"].map((name) => folder.file(name));
    await this.run("chown", "postfix", ...owned);
    folder.write(
      "etc/main.cf",
      `compatibility_level = 3.6
queue_directory = ${folder.file("queue")}
data_directory = ${folder.file("data")}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject
# Without the servers that know recipients and count clients.
alias_maps =
local_recipient_maps =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
${this.#settings}`,
    );
  }

  protected override commandOn(port: number): readonly string[] {
    this.folder.write(
      "etc/master.cf",
      `127.0.0.1:${port} inet n - n - - smtpd\ntlsmgr unix - - n 1000? 1 tlsmgr\n`,
    );
    return [`${PROGRAMS}/master`, "-d", "-c", this.folder.file("etc")];
  }

  /** Unlike SIGKILL, this signal stops the child processes too. */
  protected override get stopSignal(): Deno.Signal {
    return "SIGTERM";
  }
}
