/**
 * Runs the programs under test as operators run them.
 *
 * @module
 */

import { minimalDaemonFlags } from "../../src/daemon/permissions.ts";
import { commandOf, HOME } from "./forms.ts";
import { until } from "../servers/mod.ts";

/** A program must start or stop within this time, in milliseconds. */
const PROGRAM_TIMEOUT_MS = 60_000;

/** Permissions that a daemon with several workers needs in addition. */
export const WORKER_GRANTS: readonly string[] = [
  `--allow-read=${HOME}src,${HOME}deno.json,${HOME}.deno-version`,
];

/** Runs a program so that file modes apply even to root. Needs setpriv. */
export const RESPECTING_FILE_MODES: readonly string[] = Deno.uid() === 0
  ? ["bounding-set", "inh-caps"].reduce(
    (args, set) => [...args, `--${set}=-dac_override,-dac_read_search,-fowner`],
    ["setpriv"],
  )
  : [];

/** Runs a program that cannot watch folders. Needs unshare. */
export const WITHOUT_INOTIFY: readonly string[] = [
  ...["unshare", "--map-root-user"],
  ...["sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "sh"],
];

/** A temporary folder. */
export class TempFolder implements Disposable {
  /** Its path. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "hacheck-" });

  /** Returns the path of a file in the folder. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Writes a file into the folder, and returns the file's path. */
  write(name: string, content: string): string {
    Deno.writeTextFileSync(this.file(name), content);
    return this.file(name);
  }

  /** Removes the folder. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** How to start a daemon. */
export interface DaemonOptions {
  /** Its spool; a new one, if not given. */
  readonly spool?: string;
  /** The content of its configuration file; none, if not given. */
  readonly config?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** Permissions in addition to those that it is installed with. */
  readonly grants?: readonly string[];
  /** All permissions, in place of those that it is installed with. */
  readonly allGrants?: (spool: string) => readonly string[];
  /** Its port, if it does not log to stderr. */
  readonly port?: number;
  /** Its first module; that of the form under test, if not given. */
  readonly entry?: string;
  /** A program that runs it, with its arguments, such as `sh -c 'ulimit …; exec "$@"' sh`. */
  readonly wrapper?: readonly string[];
}

/** A process of the daemon, in the form under test. */
export class Daemon implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #folder: TempFolder;
  readonly #reading: Promise<void>;
  #log = "";
  #onLog: () => void = () => {};

  /** Its port of 127.0.0.1. */
  port = 0;
  /** Its spool. */
  readonly spool: string;

  private constructor(process: Deno.ChildProcess, folder: TempFolder, spool: string) {
    this.#process = process;
    this.#folder = folder;
    this.spool = spool;
    this.#reading = this.#read();
  }

  /** Starts a daemon, and waits until it listens. */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const folder = new TempFolder();
    const spool = options.spool ?? folder.file("spool");
    if (options.spool === undefined) Deno.mkdirSync(spool);
    const { entry } = options;
    const grants = [...options.grants ?? []];
    const args = ["--spool-root", spool, ...options.args ?? []];
    if (!args.includes("-B")) args.push("-B", "127.0.0.1");
    if (!args.includes("-p")) args.push("-p", String(options.port ?? 0));
    if (options.config !== undefined) {
      const path = folder.write("hacheck.yaml", options.config);
      grants.push(`--allow-read=${path}`);
      args.push("-c", path);
    }
    const allGrants = options.allGrants?.(spool);
    const program = entry === undefined
      ? commandOf("hacheck", { spool, grants, ...allGrants === undefined ? {} : { allGrants } })
      : [
        ...[Deno.execPath(), "run", ...allGrants ?? minimalDaemonFlags(spool), ...grants, entry],
      ];
    const [command, ...rest] = [...options.wrapper ?? [], ...program, ...args];
    const process = new Deno.Command(command!, {
      args: rest,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    })
      .spawn();
    const daemon = new Daemon(process, folder, spool);
    if (options.port === undefined) {
      const [, port] = await daemon.logged(/listens on \S+ port (\d+)/);
      daemon.port = Number(port);
    } else {
      daemon.port = options.port;
      await until("the daemon responds", async () => (await daemon.get("/status")).status === 200);
    }
    return daemon;
  }

  /** Its process ID. */
  get pid(): number {
    return this.#process.pid;
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Returns the URL of a path. */
  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Writes a file into its spool in one step, so that the daemon never reads a part of it. */
  writeRecord(name: string, content: string): void {
    const path = `${this.spool}/.written-by-a-test`;
    Deno.writeTextFileSync(path, content);
    Deno.renameSync(path, `${this.spool}/${name}`);
  }

  /** Sends a GET request on a new connection. */
  async get(
    path: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: string }> {
    const response = await fetch(this.url(path), {
      headers: { connection: "close", ...headers },
      redirect: "manual",
    });
    return { status: response.status, body: await response.text() };
  }

  /** Waits until its log matches a pattern. */
  async logged(pattern: RegExp): Promise<RegExpExecArray> {
    const start = performance.now();
    for (;;) {
      const match = pattern.exec(this.#log);
      if (match !== null) return match;
      if (performance.now() - start > PROGRAM_TIMEOUT_MS) {
        throw new Error(`the daemon did not log ${pattern}: ${this.#log}`);
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.#onLog = resolve),
        new Promise<void>((resolve) => timer = setTimeout(resolve, 1000)),
      ]);
      clearTimeout(timer);
    }
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Waits until the process has ended and its whole log is read. */
  async ended(): Promise<Deno.CommandStatus> {
    await this.#reading;
    return await this.#process.status;
  }

  /**
   * Stops the daemon by SIGTERM. Lines are logged in the background, so only a stopped daemon has logged all.
   *
   * @returns The whole log.
   */
  async stop(): Promise<string> {
    this.kill("SIGTERM");
    let status: Deno.CommandStatus | undefined;
    this.ended().then((ended) => status = ended);
    await until("the daemon has stopped", () => status !== undefined);
    if (status!.code !== 0) throw new Error(`the daemon failed: ${status!.code}: ${this.#log}`);
    return this.#log;
  }

  /** Kills the process if it still runs, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await this.ended();
    this.#folder[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#log += text;
      this.#onLog();
    }
    this.#onLog();
  }
}

/** The result of a program. */
export interface Result {
  /** Its exit code. */
  readonly code: number;
  /** What it printed to stdout. */
  readonly stdout: string;
  /** What it printed to stderr. */
  readonly stderr: string;
}

/** Runs a command until it ends. */
export async function run(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    env,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a daemon that is expected to end by itself. */
export function runDaemon(args: readonly string[], grants: readonly string[]): Promise<Result> {
  const seconds = String(PROGRAM_TIMEOUT_MS / 1000);
  const program = commandOf("hacheck", { allGrants: grants });
  return run("timeout", [seconds, ...program, ...args], { NO_COLOR: "1" });
}

/** How often hactl runs at most, if the daemon of a busy machine does not respond in time. */
const MAX_RUNS = 5;

/**
 * Runs hactl again, as an operator would, if the daemon did not respond within the second that hactl waits.
 *
 * @param runHactl Runs hactl once.
 */
export async function retryHactl(runHactl: () => Promise<Result>): Promise<Result> {
  for (let runs = 1;; runs++) {
    const result = await runHactl();
    const isSlow = / no response within 1000 ms\n/.test(result.stderr);
    if (!isSlow || runs === MAX_RUNS) return result;
  }
}

/**
 * Runs hactl on a spool, in the form under test, again if the daemon is slow.
 *
 * @param spool The spool.
 * @param args Its arguments.
 * @param env Environment variables.
 * @param grants Permissions in addition to those that it is installed with.
 */
export async function hactl(
  spool: string,
  args: readonly string[],
  env: Record<string, string> = {},
  grants: readonly string[] = [],
): Promise<Result> {
  const [command, ...rest] = hactlCommand(spool, args, grants);
  const environment = { NO_COLOR: "1", SUDO_USER: "operator", ...env };
  return await retryHactl(() => run(command!, rest, environment));
}

/** Returns the command line that {@linkcode hactl} runs. */
export function hactlCommand(
  spool: string,
  args: readonly string[],
  grants: readonly string[] = [],
): string[] {
  return [...commandOf("hactl", { spool, grants }), ...args, "--spool-root", spool];
}
