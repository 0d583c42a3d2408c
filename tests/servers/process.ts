/**
 * Servers that run in a process of their own.
 *
 * @module
 */

import { run, TempFolder } from "../support/programs.ts";
import { freePort, until } from "./mod.ts";

/** How often another port is tried when somebody else was quicker to take it. */
const TRIES = 5;

/** Where programs are looked for: servers are not in everybody's path. */
const PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin:/bin";

/** A server of 127.0.0.1 with a folder of its own. */
export abstract class ServerProcess implements AsyncDisposable {
  /** Where it keeps what it writes. It is gone with the server. */
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

  /** Writes what it needs, whatever its port will be. */
  protected prepare(): Promise<void> {
    return Promise.resolve();
  }

  /** Its command line for a port. */
  protected abstract commandOn(port: number): readonly string[];

  /** Tells whether it answers; where this throws, it does not. */
  protected async answers(): Promise<boolean> {
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    return true;
  }

  /** What makes it stop at once. */
  protected get stopSignal(): Deno.Signal {
    return "SIGKILL";
  }

  /** Starts it on a port that is free, and waits until it answers. */
  protected async launch(): Promise<this> {
    try {
      await this.prepare();
      for (let tries = 1;; tries++) {
        this.port = freePort();
        this.#spawn(this.commandOn(this.port));
        await until("the server answers or has ended", () => this.#hasEnded || this.answers());
        if (!this.#hasEnded) return this;
        await this.#output;
        if (tries === TRIES) throw new Error(`the server does not start: ${this.#log}`);
      }
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Runs a program to its end.
   *
   * @param command Its command line.
   * @returns What it printed.
   * @throws {Error} If it fails, with what it said.
   */
  protected async run(...command: readonly string[]): Promise<string> {
    const [program, ...args] = command;
    const { code, stdout, stderr } = await run(program!, args, { PATH });
    if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stdout}${stderr}`);
    return stdout.trim();
  }

  /** The number of its process, or of the program that runs it. */
  get pid(): number {
    if (this.#process === undefined) throw new Error("the server was not started");
    return this.#process.pid;
  }

  /** Sends it a signal, unless it has ended. */
  kill(signal: Deno.Signal): void {
    if (!this.#hasEnded) this.#process?.kill(signal);
  }

  /** Stops it, and waits until it has ended. */
  async stop(): Promise<void> {
    this.kill(this.stopSignal);
    await this.#process?.status;
    await this.#output;
  }

  /** Stops it, and removes what it leaves. */
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
