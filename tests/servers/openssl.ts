/**
 * A TLS server with selectable versions and algorithms.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const OPENSSL_PROGRAMS: readonly string[] = ["openssl"];

/** An `openssl s_server` of 127.0.0.1 that responds to every request by HTTP, with its own certificate. */
export class OpensslServer extends ServerProcess {
  /** Keys and their certificates, by the options that made them. Making an RSA key takes long. */
  static readonly #made = new Map<string, { key: string; certificate: string }>();

  readonly #newKey: readonly string[];
  readonly #options: readonly string[];

  private constructor(newKey: readonly string[], options: readonly string[]) {
    super();
    this.#newKey = newKey;
    this.#options = options;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param newKey Options of `openssl req` for the key of its certificate: `-newkey rsa:1024`.
   * @param options Further options of `openssl s_server`.
   */
  static start(
    newKey: readonly string[],
    options: readonly string[] = [],
  ): Promise<OpensslServer> {
    return new OpensslServer(newKey, options).launch();
  }

  protected override async prepare(): Promise<void> {
    const options = this.#newKey.join(" ");
    const made = OpensslServer.#made.get(options);
    if (made !== undefined) {
      this.folder.write("key", made.key);
      this.folder.write("certificate", made.certificate);
      return;
    }
    const files = { key: this.folder.file("key"), certificate: this.folder.file("certificate") };
    await this.run(
      ...["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=web.example"],
      ...["-keyout", files.key, "-out", files.certificate],
      ...this.#newKey,
    );
    OpensslServer.#made.set(options, {
      key: Deno.readTextFileSync(files.key),
      certificate: Deno.readTextFileSync(files.certificate),
    });
  }

  protected override commandOn(port: number): readonly string[] {
    return [
      ...["openssl", "s_server", "-accept", `127.0.0.1:${port}`, "-www"],
      ...["-cert", this.folder.file("certificate"), "-key", this.folder.file("key")],
      ...this.#options,
    ];
  }
}
