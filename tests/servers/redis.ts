/**
 * Redis and Sentinel.
 *
 * @module
 */

import type { Certificate } from "./certificates.ts";
import { ServerProcess } from "./process.ts";

/** The programs that a {@linkcode Redis} needs. */
export const REDIS_PROGRAMS: readonly string[] = ["redis-server", "redis-cli"];

/** The programs that a {@linkcode Sentinel} and its master need. */
export const SENTINEL_PROGRAMS: readonly string[] = [...REDIS_PROGRAMS, "redis-sentinel"];

/** A Redis of 127.0.0.1 without persistence. */
export class Redis extends ServerProcess {
  readonly #configurationOn: (port: number) => string;

  private constructor(configurationOn: (port: number) => string) {
    super();
    this.#configurationOn = configurationOn;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param configuration Further lines of its configuration.
   */
  static start(configuration = ""): Promise<Redis> {
    return new Redis((port) => `port ${port}\n${configuration}`).launch();
  }

  /**
   * Starts a server that speaks TLS only.
   *
   * @param configuration Further lines of its configuration. By default it requires no client certificate.
   */
  static startTls(
    { certificate, key }: Certificate,
    configuration = `tls-ca-cert-file ${certificate}\ntls-auth-clients no`,
  ): Promise<Redis> {
    return new Redis((port) => `
port 0
tls-port ${port}
tls-cert-file ${certificate}
tls-key-file ${key}
${configuration}`).launch();
  }

  /**
   * Runs a command.
   *
   * @param words Options of `redis-cli`, and the command.
   * @returns The reply.
   */
  command(...words: readonly string[]): Promise<string> {
    return this.run("redis-cli", "-p", String(this.port), ...words);
  }

  protected override commandOn(port: number): readonly string[] {
    return [
      "redis-server",
      this.folder.write(
        "redis.conf",
        `bind 127.0.0.1\nsave ""\nappendonly no\n${this.#configurationOn(port)}\n`,
      ),
    ];
  }
}

/** Passwords. Without one, no login is needed. */
export interface SentinelPasswords {
  /** The Sentinel's own. */
  readonly own?: string;
  /** Its master's. */
  readonly master?: string;
}

/** A Sentinel of 127.0.0.1, which monitors a Redis by the name `main`. */
export class Sentinel extends ServerProcess {
  readonly #master: Redis;
  readonly #passwords: SentinelPasswords;

  private constructor(master: Redis, passwords: SentinelPasswords) {
    super();
    this.#master = master;
    this.#passwords = passwords;
  }

  /**
   * Starts a Sentinel, and waits until it reports that its master is up.
   *
   * @param master The Redis to monitor.
   * @param passwords The passwords.
   */
  static start(master: Redis, passwords: SentinelPasswords = {}): Promise<Sentinel> {
    return new Sentinel(master, passwords).launch();
  }

  protected override commandOn(port: number): readonly string[] {
    const { own, master } = this.#passwords;
    return [
      "redis-sentinel",
      this.folder.write(
        "sentinel.conf",
        `bind 127.0.0.1
port ${port}
sentinel monitor main 127.0.0.1 ${this.#master.port} 1
sentinel down-after-milliseconds main 500
${master === undefined ? "" : `sentinel auth-pass main ${master}`}
${own === undefined ? "" : `requirepass ${own}`}
`,
      ),
    ];
  }

  protected override async answers(): Promise<boolean> {
    const { own } = this.#passwords;
    const login = own === undefined ? [] : ["--no-auth-warning", "-a", own];
    const port = String(this.port);
    return (await this.run("redis-cli", "-p", port, ...login, "info", "sentinel"))
      .includes("status=ok");
  }
}
