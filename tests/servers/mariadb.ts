/**
 * A real MariaDB.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** The programs that it takes. */
export const MARIADB_PROGRAMS: readonly string[] = ["mariadbd", "mariadb-install-db", "mariadb"];

/** The user whom every {@linkcode MariaDb} lets in, from anywhere. */
export const USER = { username: "checker", password: 'pa\'ss "wörd"' } as const;

/** What makes it small, and no part of the machine's own configuration. */
const SMALL = [
  "--no-defaults",
  "--innodb-log-file-size=4M",
  "--innodb-buffer-pool-size=8M",
  "--key-buffer-size=1M",
  "--aria-pagecache-buffer-size=1M",
  "--innodb-flush-log-at-trx-commit=0",
  // It runs as root only if it is told so.
  ...Deno.uid() === 0 ? ["--user=root"] : [],
];

/** A MariaDB of 127.0.0.1 with data of its own. */
export class MariaDb extends ServerProcess {
  readonly #options: readonly string[];
  readonly #wrapper: readonly string[];

  private constructor(options: readonly string[], wrapper: readonly string[] = []) {
    super();
    this.#options = options;
    this.#wrapper = wrapper;
  }

  /**
   * Starts one, and waits until it answers.
   *
   * @param options Further options of mariadbd.
   */
  static start(...options: readonly string[]): Promise<MariaDb> {
    return new MariaDb(["--bind-address=127.0.0.1", "--skip-name-resolve", ...options]).#begin();
  }

  /**
   * Starts one in a network of its own, where it listens on every address and blocks hosts
   * (error 1129). A MariaDB that does not look names up, or is asked from 127.0.0.1, blocks nobody.
   *
   * @param wrapper A program that runs another in a network of its own, with its arguments.
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
   * Asks it as its administrator, who needs no port.
   *
   * @param sql What to ask.
   * @returns The rows, a line each, their columns separated by tabs.
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
   * Asks it what it has counted.
   *
   * @param name What, as `SHOW GLOBAL STATUS` names it.
   */
  async status(name: string): Promise<number> {
    const [, value] = (await this.query(`SHOW GLOBAL STATUS LIKE '${name}'`)).split("\t");
    return Number(value);
  }

  /** A folder for temporary tables of its own too: who starts removes those that others have in the same. */
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
