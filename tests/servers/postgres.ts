/**
 * PostgreSQL.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

/** Debian keeps the programs in a folder for each major version. */
const PROGRAMS = newestFolder("/usr/lib/postgresql");

function newestFolder(root: string): string {
  try {
    const versions = [...Deno.readDirSync(root)].map(({ name }) => Number(name));
    return `${root}/${Math.max(...versions.filter((version) => version > 0))}/bin`;
  } catch {
    return `${root}/bin`;
  }
}

/** The programs that it needs. */
export const POSTGRES_PROGRAMS: readonly string[] = [
  ...["initdb", "pg_basebackup", "postgres", "psql"].map((name) => `${PROGRAMS}/${name}`),
  "setpriv",
];

/** PostgreSQL refuses to run as root. */
const NOT_AS_ROOT: readonly string[] = Deno.uid() === 0
  ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
  : [];

/** A PostgreSQL of 127.0.0.1 with its own data. */
export class Postgres extends ServerProcess {
  readonly #access: string;
  readonly #settings: readonly string[];
  readonly #data = this.folder.file("data");
  readonly #primary: Postgres | null;

  private constructor(
    access: string,
    settings: readonly string[],
    primary: Postgres | null = null,
  ) {
    super();
    this.#access = access;
    this.#settings = settings;
    this.#primary = primary;
  }

  /**
   * Starts a server, and waits until it responds.
   *
   * @param access The lines of pg_hba.conf for connections by TCP.
   * @param settings Further settings: `name=value`.
   */
  static start(access: string, settings: readonly string[] = []): Promise<Postgres> {
    return new Postgres(access, settings).launch();
  }

  /** Starts a standby, which follows a primary by streaming. */
  static startStandby(primary: Postgres): Promise<Postgres> {
    return new Postgres(primary.#access, primary.#settings, primary).launch();
  }

  /**
   * Runs a query as the administrator, by the Unix socket.
   *
   * @param sql The query.
   * @returns The rows, one on a line, with `|` between the columns.
   */
  query(sql: string): Promise<string> {
    return this.run(
      ...NOT_AS_ROOT,
      `${PROGRAMS}/psql`,
      "--no-psqlrc",
      "--tuples-only",
      "--no-align",
      "--quiet",
      `--host=${this.folder.path}`,
      `--port=${this.port}`,
      "--username=postgres",
      "--dbname=postgres",
      `--command=${sql}`,
    );
  }

  protected override async prepare(): Promise<void> {
    if (Deno.uid() === 0) await this.run("chown", "postgres:", this.folder.path);
    const local = "local all all trust\nlocal replication all trust";
    this.folder.write("pg_hba.conf", `${local}\n${this.#access}\n`);
    const primary = this.#primary;
    if (primary !== null) {
      await this.run(
        ...NOT_AS_ROOT,
        `${PROGRAMS}/pg_basebackup`,
        ...["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username=postgres"],
        ...[`--host=${primary.folder.path}`, `--port=${primary.port}`, `--pgdata=${this.#data}`],
      );
      return;
    }
    await this.run(
      ...NOT_AS_ROOT,
      `${PROGRAMS}/initdb`,
      "--no-sync",
      "--auth=trust",
      "--username=postgres",
      "--encoding=UTF8",
      "--locale=C",
      `--pgdata=${this.#data}`,
    );
  }

  protected override commandOn(port: number): readonly string[] {
    const settings = [
      `port=${port}`,
      "listen_addresses=127.0.0.1",
      `unix_socket_directories=${this.folder.path}`,
      `hba_file=${this.folder.file("pg_hba.conf")}`,
      "fsync=off",
      ...this.#settings,
    ];
    return [
      ...NOT_AS_ROOT,
      `${PROGRAMS}/postgres`,
      "-D",
      this.#data,
      ...settings.flatMap((setting) => ["-c", setting]),
    ];
  }

  protected override async answers(): Promise<boolean> {
    return await this.query("SELECT 1") === "1";
  }

  /** This signal ends all sessions at once. */
  protected override get stopSignal(): Deno.Signal {
    return "SIGQUIT";
  }
}
