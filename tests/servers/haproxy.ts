/**
 * A real HAProxy.
 *
 * @module
 */

import { TempFolder } from "../support/programs.ts";
import { freePort, until } from "./mod.ts";

/** A row of `show stat`: a frontend, a backend or a server, each value by the name of its column. */
export type StatRow = Readonly<Record<string, string>>;

/** How often another port is tried where the one that was free a moment ago is taken. */
const ATTEMPTS = 3;

/** An HAProxy in a process of its own, in the foreground, with its statistics on a Unix socket. */
export class HAProxy implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #socket = this.#folder.file("haproxy.sock");
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #log = "";
  #ended = false;

  /** The port of 127.0.0.1 that its frontend was given. */
  readonly port: number;

  private constructor(configuration: string, port: number) {
    this.port = port;
    const path = this.#folder.write(
      "haproxy.cfg",
      `global
    stats socket ${this.#socket} level operator
    maxconn 1000
    # A port that another HAProxy listens on is taken, not shared.
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
   * @param configuration Makes the configuration, but for its `global` section, from the port
   * that its frontend is to listen on.
   * @throws {Error} If it does not start, with what it said.
   */
  static async start(configuration: (port: number) => string): Promise<HAProxy> {
    for (let attempt = 1;; attempt++) {
      const port = freePort();
      const haproxy = new HAProxy(configuration(port), port);
      try {
        await until("HAProxy runs", async () => haproxy.#ended || await haproxy.stat() !== null);
        if (!haproxy.#ended) return haproxy;
      } catch (error) {
        await haproxy[Symbol.asyncDispose]();
        throw error;
      }
      await haproxy[Symbol.asyncDispose]();
      if (attempt === ATTEMPTS || !haproxy.log.includes("cannot bind")) {
        throw new Error(`HAProxy did not start: ${haproxy.log}`);
      }
    }
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Asks it for its statistics: `show stat` on its socket. */
  async stat(): Promise<StatRow[]> {
    const connection = await Deno.connect({ transport: "unix", path: this.#socket });
    // One command is answered, and the connection closed: its end is the end of the answer.
    await connection.write(new TextEncoder().encode("show stat\n"));
    return parseStat(await new Response(connection.readable).text());
  }

  /** Stops it if it still runs, and removes what it leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
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

/** Reads what `show stat` prints, in CSV: values with commas or quotes in them stand in quotes. */
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
