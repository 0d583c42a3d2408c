/**
 * The programs under test, run as operators run them.
 *
 * @module
 */

import { daemonGrants, flagsOf } from "../../src/daemon/permissions.ts";
import { commandOf, HOME } from "./forms.ts";
import { until } from "../servers/mod.ts";

/** How long a program may take to start or to stop, in milliseconds. */
const PATIENCE_MS = 60_000;

/** What a daemon may do, beyond others, that has several event loops. */
export const FOR_EVENT_LOOPS: readonly string[] = [`--allow-read=${HOME}src,${HOME}deno.json`];

/** Runs a program so that the modes of files bind it even if it is root's. Needs setpriv. */
export const BOUND_BY_MODES: readonly string[] = Deno.uid() === 0
  ? ["bounding-set", "inh-caps"].reduce(
    (args, set) => [...args, `--${set}=-dac_override,-dac_read_search,-fowner`],
    ["setpriv"],
  )
  : [];

/** Runs a program where no folder can be watched. Needs unshare. */
export const WITHOUT_WATCHES: readonly string[] = [
  ...["unshare", "--map-root-user"],
  ...["sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "sh"],
];

/** A folder that is gone when the test is over. */
export class TempFolder implements Disposable {
  /** Its path. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "hacheck-" });

  /** The path of a file in it. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Writes a file in it, and returns the file's path. */
  write(name: string, content: string): string {
    Deno.writeTextFileSync(this.file(name), content);
    return this.file(name);
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** How to start a daemon. */
export interface DaemonOptions {
  /** Its spool; one of its own, if not given. */
  readonly spool?: string;
  /** The content of its configuration file; none, if not given. */
  readonly config?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** What it may do beyond what every daemon may, or beyond what it is installed with. */
  readonly grants?: readonly string[];
  /** All that it may do, if that is something else. */
  readonly allGrants?: (spool: string) => readonly string[];
  /** The port it listens on, for one that does not log on stderr that it listens. */
  readonly port?: number;
  /** Its first module; that of the form under test, if not given. It takes `allGrants`, or the README's. */
  readonly entry?: string;
  /** A program that runs it, with its arguments, such as `sh -c 'ulimit …; exec "$@"' sh`. */
  readonly wrapper?: readonly string[];
}

/** A daemon in a process of its own, in the form under test. */
export class Daemon implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #folder: TempFolder;
  readonly #reading: Promise<void>;
  #log = "";
  #told: () => void = () => {};

  /** The port of 127.0.0.1 that it listens on. */
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
        ...[Deno.execPath(), "run", ...allGrants ?? flagsOf(daemonGrants(spool)), ...grants, entry],
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
      await until("it answers", async () => (await daemon.get("/status")).status === 200);
    }
    return daemon;
  }

  /** Its process. */
  get pid(): number {
    return this.#process.pid;
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** The URL of one of its pages. */
  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Asks it for a page, on a connection of its own. */
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

  /** Waits until it has logged what matches a pattern. */
  async logged(pattern: RegExp): Promise<RegExpExecArray> {
    const start = performance.now();
    for (;;) {
      const match = pattern.exec(this.#log);
      if (match !== null) return match;
      if (performance.now() - start > PATIENCE_MS) {
        throw new Error(`the daemon did not log ${pattern}: ${this.#log}`);
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.#told = resolve),
        new Promise<void>((resolve) => timer = setTimeout(resolve, 1000)),
      ]);
      clearTimeout(timer);
    }
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Waits until it has ended, and all that it has logged is known. */
  async ended(): Promise<Deno.CommandStatus> {
    await this.#reading;
    return await this.#process.status;
  }

  /** Stops it if it still runs, and removes what it leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended();
    this.#folder[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#log += text;
      this.#told();
    }
    this.#told();
  }
}

/** What a program printed, and how it ended. */
export interface Result {
  /** Its exit code. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** What it told its user. */
  readonly stderr: string;
}

/** Runs a command to its end. */
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

/** Runs the daemon's program where it is expected to end by itself. */
export function runDaemon(args: readonly string[], grants: readonly string[]): Promise<Result> {
  const patience = String(PATIENCE_MS / 1000);
  const program = commandOf("hacheck", { allGrants: grants });
  return run("timeout", [patience, ...program, ...args], { NO_COLOR: "1" });
}

/** How often hactl is run again where the daemon had no time to answer it: the machine is busy. */
const MAX_RUNS = 5;

/**
 * Runs hactl on a spool, in the form under test. It is run again, as an operator would do, where the daemon did
 * not answer within the second that hactl waits for it.
 */
export async function hactl(
  spool: string,
  args: readonly string[],
  env: Record<string, string> = {},
  more: readonly string[] = [],
): Promise<Result> {
  const [command, ...rest] = hactlCommand(spool, args, more);
  for (let runs = 1;; runs++) {
    const result = await run(command!, rest, { NO_COLOR: "1", SUDO_USER: "operator", ...env });
    const isSlow = / no response within 1000 ms\n/.test(result.stderr);
    if (!isSlow || runs === MAX_RUNS) return result;
  }
}

/** The command line that does so, by more grants than its own if need be. */
export function hactlCommand(
  spool: string,
  args: readonly string[],
  more: readonly string[] = [],
): string[] {
  return [...commandOf("hactl", { spool, grants: more }), ...args, "--spool-root", spool];
}
