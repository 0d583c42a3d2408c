/**
 * Servers that run in their own process.
 *
 * @module
 */

import { run, TempFolder } from "../support/programs.ts";
import { freePort, until } from "./mod.ts";

/** How many ports to try: another process may take a free port first. */
const MAX_PORTS = 5;

/** The search path for programs: the user's may lack the folders of servers. */
const PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin:/bin";

/** A server of 127.0.0.1 with a folder of its own. */
export abstract class ServerProcess implements AsyncDisposable {
  /** The folder of its files. It is removed with the server. */
  protected readonly folder: TempFolder = new TempFolder();
  #process: Deno.ChildProcess | undefined;
  #output: Promise<unknown> = Promise.resolve();
  #log = "";
  #hasEnded = false;

  /** Its port. */
  port = 0;

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Writes the files that it needs, before a port is chosen. */
  protected prepare(): Promise<void> {
    return Promise.resolve();
  }

  /** Returns its command line for a port. */
  protected abstract commandOn(port: number): readonly string[];

  /** Returns whether it responds. An error counts as false. */
  protected async answers(): Promise<boolean> {
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    return true;
  }

  /** The signal that makes it stop at once. */
  protected get stopSignal(): Deno.Signal {
    return "SIGKILL";
  }

  /** Starts it on a free port, and waits until it responds. */
  protected async launch(): Promise<this> {
    try {
      await this.prepare();
      for (let tries = 1;; tries++) {
        this.port = freePort();
        this.#spawn(this.commandOn(this.port));
        await until("the server responds or has ended", () => this.#hasEnded || this.answers());
        if (!this.#hasEnded) return this;
        await this.#output;
        if (tries === MAX_PORTS) throw new Error(`the server did not start: ${this.#log}`);
      }
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Runs a program until it ends.
   *
   * @param command Its command line.
   * @returns Its stdout.
   * @throws {Error} If the program fails, with its whole output.
   */
  protected async run(...command: readonly string[]): Promise<string> {
    const [program, ...args] = command;
    const { code, stdout, stderr } = await run(program!, args, { PATH });
    if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stdout}${stderr}`);
    return stdout.trim();
  }

  /** Its process ID, or that of its wrapper. */
  get pid(): number {
    if (this.#process === undefined) throw new Error("the server was not started");
    return this.#process.pid;
  }

  /** Sends it a signal unless it has ended. */
  kill(signal: Deno.Signal): void {
    if (!this.#hasEnded) this.#process?.kill(signal);
  }

  /** Stops it, and waits until it has ended. */
  async stop(): Promise<void> {
    this.kill(this.stopSignal);
    await this.#process?.status;
    await this.#output;
  }

  /** Stops it, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.folder[Symbol.dispose]();
  }

  #spawn([program, ...args]: readonly string[]): void {
    const process = new Deno.Command(program!, {
      args,
      cwd: this.folder.path,
      env: { PATH },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#process = process;
    this.#hasEnded = false;
    process.status.then(() => this.#hasEnded = true);
    this.#output = Promise.all([this.#read(process.stdout), this.#read(process.stderr)]);
  }

  async #read(stream: ReadableStream<BufferSource>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.#log += text;
  }
}
