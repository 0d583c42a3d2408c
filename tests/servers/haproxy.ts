/**
 * HAProxy.
 *
 * @module
 */

import { TempFolder } from "../support/programs.ts";
import { freePort, until } from "./mod.ts";

/** A row of `show stat`, for a frontend, a backend or a server: its values by the names of the columns. */
export type StatRow = Readonly<Record<string, string>>;

/** How many ports to try: another process may take a free port first. */
const MAX_PORTS = 3;

/** An HAProxy process in the foreground, with its statistics on a Unix socket. */
export class HAProxy implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #socket = this.#folder.file("haproxy.sock");
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #log = "";
  #ended = false;

  /** The port of its frontend, of 127.0.0.1. */
  readonly port: number;

  private constructor(configuration: string, port: number) {
    this.port = port;
    const path = this.#folder.write(
      "haproxy.cfg",
      `global
    stats socket ${this.#socket} level operator
    maxconn 1000
    # Do not share a port with another HAProxy.
    noreuseport

${configuration}`,
    );
    this.#process = new Deno.Command("haproxy", {
      args: ["-db", "-f", path],
      env: { PATH: "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin:/bin" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
  }

  /**
   * Starts HAProxy, and waits until it runs.
   *
   * @param configuration Makes the configuration without its `global` section, for the port of the frontend.
   * @throws {Error} If it does not start, with its log.
   */
  static async start(configuration: (port: number) => string): Promise<HAProxy> {
    for (let attempt = 1;; attempt++) {
      const port = freePort();
      const haproxy = new HAProxy(configuration(port), port);
      try {
        await until(
          "HAProxy responds",
          async () => haproxy.#ended || await haproxy.stat() !== null,
        );
        if (!haproxy.#ended) return haproxy;
      } catch (error) {
        await haproxy[Symbol.asyncDispose]();
        throw error;
      }
      await haproxy[Symbol.asyncDispose]();
      if (attempt === MAX_PORTS || !haproxy.log.includes("cannot bind")) {
        throw new Error(`HAProxy did not start: ${haproxy.log}`);
      }
    }
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Returns its statistics, `show stat`. */
  async stat(): Promise<StatRow[]> {
    const connection = await Deno.connect({ transport: "unix", path: this.#socket });
    // HAProxy closes the connection after the response.
    await connection.write(new TextEncoder().encode("show stat\n"));
    return parseStat(await new Response(connection.readable).text());
  }

  /** Kills the process if it still runs, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await this.#reading;
    this.#folder[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#log += text;
    }
    await this.#process.status;
    this.#ended = true;
  }
}

/** Parses the CSV of `show stat`. Values with commas or quotes are quoted. */
export function parseStat(csv: string): StatRow[] {
  const [columns = [], ...rows] = csv.replace(/^# /, "").trim().split("\n").map(valuesOf);
  return rows.map((values) =>
    Object.fromEntries(columns.map((name, i) => [name, values[i] ?? ""]))
  );
}

function valuesOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
    .map(([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain);
}
