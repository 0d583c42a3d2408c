/**
 * A real Postfix.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

const PROGRAMS = "/usr/lib/postfix/sbin";

/** The programs that it takes. */
export const POSTFIX_PROGRAMS: readonly string[] = [`${PROGRAMS}/master`, `${PROGRAMS}/smtpd`];

/** A Postfix of 127.0.0.1 that speaks SMTP and delivers nothing. Only root can start it. */
export class Postfix extends ServerProcess {
  private constructor() {
    super();
  }

  /** Starts one, and waits until it accepts connections. */
  static start(): Promise<Postfix> {
    return new Postfix().launch();
  }

  protected override async prepare(): Promise<void> {
    const { folder } = this;
    for (const name of ["etc", "data", "queue", "queue/pid", "queue/private", "queue/public"]) {
      Deno.mkdirSync(folder.file(name));
    }
    // Its children are not root, and must find their way.
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
# Who knows the recipients, and who counts the clients, would be servers of their own.
alias_maps =
local_recipient_maps =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
`,
    );
  }

  protected override commandOn(port: number): readonly string[] {
    this.folder.write("etc/master.cf", `127.0.0.1:${port} inet n - n - - smtpd\n`);
    return [`${PROGRAMS}/master`, "-d", "-c", this.folder.file("etc")];
  }

  /** Told so, it stops its children too. */
  protected override get stopSignal(): Deno.Signal {
    return "SIGTERM";
  }
}
