/**
 * MariaDB.
 *
 * @module
 */

import { until } from "./mod.ts";
import { ServerProcess } from "./process.ts";

/** The programs that it needs. */
export const MARIADB_PROGRAMS: readonly string[] = ["mariadbd", "mariadb-install-db", "mariadb"];

/** A user who may log in to every {@linkcode MariaDb}, from any host. */
export const USER = { username: "checker", password: 'pa\'ss "wörd"' } as const;

/** The library of Galera, which Debian installs with MariaDB. */
const GALERA = "/usr/lib/galera/libgalera_smm.so";

/** The programs that a node of Galera needs. */
export const GALERA_PROGRAMS: readonly string[] = [...MARIADB_PROGRAMS, GALERA];

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
  /** The last change of the cluster that the server joins; null for any other server. */
  readonly #galeraPosition: string | null;

  private constructor(
    options: readonly string[],
    wrapper: readonly string[] = [],
    galeraPosition: string | null = null,
  ) {
    super();
    this.#options = options;
    this.#wrapper = wrapper;
    this.#galeraPosition = galeraPosition;
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
   * Starts a node of a Galera cluster. It takes no data over from another one.
   *
   * @param port A free port for the other nodes, and the next one too.
   * @param first The first node and its port for others; absent for the first one itself.
   */
  static async startGaleraNode(
    port: number,
    first?: { readonly node: MariaDb; readonly port: number },
  ): Promise<MariaDb> {
    const provider = [
      `gmcast.listen_addr=tcp://127.0.0.1:${port}`,
      `ist.recv_addr=127.0.0.1:${port + 1}`,
      // A node whose peers vanish waits for seconds by default.
      ...["evs.keepalive_period=PT0.3S", "evs.suspect_timeout=PT1S", "evs.inactive_timeout=PT3S"],
      "gcache.size=1M",
    ];
    const position = first === undefined ? null : await first.node.galeraPosition();
    return await new MariaDb(
      [
        ...["--bind-address=127.0.0.1", "--skip-name-resolve", "--binlog-format=ROW"],
        ...["--wsrep-on=ON", `--wsrep-provider=${GALERA}`, "--wsrep-node-address=127.0.0.1"],
        `--wsrep-provider-options=${provider.join(";")}`,
        `--wsrep-cluster-address=gcomm://${first === undefined ? "" : `127.0.0.1:${first.port}`}`,
      ],
      [],
      position,
    ).#begin();
  }

  /** Returns the last change of the cluster, as a node that joins has to name it. */
  async galeraPosition(): Promise<string> {
    const value = async (name: string) =>
      (await this.query(`SHOW GLOBAL STATUS LIKE '${name}'`)).split("\t")[1];
    return `${await value("wsrep_cluster_state_uuid")}:${await value("wsrep_last_committed")}`;
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
      // A node of a cluster accepts changes only when it has joined.
      await until("the server accepts a user", async () => {
        await server.query(
          `CREATE OR REPLACE USER ${username} IDENTIFIED BY '${password.replaceAll("'", "''")}'`,
        );
        return true;
      });
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
    if (this.#galeraPosition === null) return;
    // As if the node had been a part of the cluster before: no data is transferred to it.
    const [uuid, seqno] = this.#galeraPosition.split(":");
    Deno.writeTextFileSync(
      this.folder.file("data/grastate.dat"),
      `version: 2.1\nuuid: ${uuid}\nseqno: ${seqno}\nsafe_to_bootstrap: 0\n`,
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
