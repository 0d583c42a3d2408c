/**
 * MariaDB.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const MARIADB_PROGRAMS: readonly string[] = ["mariadbd", "mariadb-install-db", "mariadb"];

/** A user who may log in to every {@linkcode MariaDb}, from any host. */
export const USER = { username: "checker", password: 'pa\'ss "wörd"' } as const;

/** Options for a small server that ignores the machine's configuration. */
const SMALL = [
  "--no-defaults",
  "--innodb-log-file-size=4M",
  "--innodb-buffer-pool-size=8M",
  "--key-buffer-size=1M",
  "--aria-pagecache-buffer-size=1M",
  "--innodb-flush-log-at-trx-commit=0",
  // Without this option it refuses to run as root.
  ...Deno.uid() === 0 ? ["--user=root"] : [],
];

/** A MariaDB of 127.0.0.1 with its own data. */
export class MariaDb extends ServerProcess {
  readonly #options: readonly string[];
  readonly #wrapper: readonly string[];

  private constructor(options: readonly string[], wrapper: readonly string[] = []) {
    super();
    this.#options = options;
    this.#wrapper = wrapper;
  }

  /**
   * Starts a server, and waits until it responds.
   *
   * @param options Further options of mariadbd.
   */
  static start(...options: readonly string[]): Promise<MariaDb> {
    return new MariaDb(["--bind-address=127.0.0.1", "--skip-name-resolve", ...options]).#begin();
  }

  /**
   * Starts a server in a network namespace, where it listens on every address and blocks hosts (error 1129). A
   * MariaDB that resolves no names never blocks, and none blocks 127.0.0.1.
   *
   * @param wrapper The command that runs a program in a network namespace.
   * @param options Further options of mariadbd.
   */
  static startInNetwork(
    wrapper: readonly string[],
    ...options: readonly string[]
  ): Promise<MariaDb> {
    return new MariaDb(["--bind-address=0.0.0.0", ...options], wrapper).#begin();
  }

  async #begin(): Promise<MariaDb> {
    const server = await this.launch();
    try {
      const { username, password } = USER;
      await server.query(
        `CREATE USER ${username} IDENTIFIED BY '${password.replaceAll("'", "''")}'`,
      );
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Runs a query as the administrator, by the Unix socket.
   *
   * @param sql The query.
   * @returns The rows, one on a line, with tabs between the columns.
   */
  query(sql: string): Promise<string> {
    return this.run(
      "mariadb",
      "--no-defaults",
      "--default-character-set=utf8mb4",
      `--socket=${this.folder.file("socket")}`,
      "--user=root",
      "--batch",
      "--skip-column-names",
      `--execute=${sql}`,
    );
  }

  /**
   * Returns a status variable.
   *
   * @param name Its name in `SHOW GLOBAL STATUS`.
   */
  async status(name: string): Promise<number> {
    const [, value] = (await this.query(`SHOW GLOBAL STATUS LIKE '${name}'`)).split("\t");
    return Number(value);
  }

  /** A server removes all temporary tables in its tmpdir when it starts, so each needs its own. */
  get #folders(): string[] {
    return [`--datadir=${this.folder.file("data")}`, `--tmpdir=${this.folder.file("tmp")}`];
  }

  protected override async prepare(): Promise<void> {
    Deno.mkdirSync(this.folder.file("tmp"));
    await this.run(
      "mariadb-install-db",
      ...SMALL,
      ...this.#folders,
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
      "--skip-name-resolve",
    );
  }

  protected override commandOn(port: number): readonly string[] {
    return [
      ...this.#wrapper,
      "mariadbd",
      ...SMALL,
      ...this.#folders,
      `--socket=${this.folder.file("socket")}`,
      `--pid-file=${this.folder.file("pid")}`,
      `--port=${port}`,
      "--skip-log-bin",
      ...this.#options,
    ];
  }

  protected override async answers(): Promise<boolean> {
    return await this.query("SELECT 1") === "1";
  }
}
