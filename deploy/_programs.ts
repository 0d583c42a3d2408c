import { daemonFlags, flagsOf, HACTL_FILE_FLAGS, hactlGrants } from "../src/daemon/permissions.ts";

/** A program that a host installs. */
export interface Program {
  /** Its name. */
  readonly name: string;
  /** Its first module. */
  readonly entry: string;
  /** Modules that it starts by themselves, and that no other imports. */
  readonly workers: readonly string[];
  /**
   * How it runs and what it may do, as arguments for Deno.
   *
   * @param project The folder that holds the project, with a slash at its end; null where it is compiled.
   */
  readonly flags: (project: string | null) => readonly string[];
  /** Its own flags that name a file for it to read. A script grants it those files, and no others. */
  readonly fileFlags: readonly string[];
  /** The older names it goes by, each with the arguments that it then stands for. */
  readonly aliases: Readonly<Record<string, readonly string[]>>;
}

/**
 * How V8 keeps the daemon's memory. What is asked for is mostly what was asked for before, so that little
 * lives for more than a request. Where ever new services are checked, whose results live for a while, V8
 * lets its heap grow to 160 MiB of garbage by default; with these, it stays at 30.
 */
export const V8_HEAP_FLAGS = "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20";

/** What is built and installed. */
export const PROGRAMS: readonly Program[] = [
  {
    name: "hacheck",
    entry: "main.ts",
    workers: ["src/daemon/worker.ts"],
    flags: (project) => [V8_HEAP_FLAGS, ...daemonFlags({ project })],
    fileFlags: [],
    aliases: {},
  },
  {
    name: "hactl",
    entry: "cli/hactl.ts",
    workers: [],
    flags: () => flagsOf(hactlGrants()),
    fileFlags: Object.keys(HACTL_FILE_FLAGS),
    aliases: {
      haup: ["-a", "up"],
      hadown: ["-a", "down"],
      hastatus: ["-a", "status"],
      halist: ["-a", "list"],
      hashowdowned: ["-a", "status_downed"],
    },
  },
];

/** The folder that holds the project. */
export const PROJECT: string = decodeURIComponent(new URL("../", import.meta.url).pathname);

/**
 * Runs Deno in the project's folder, and ends this program if it fails.
 *
 * @param args Deno's arguments.
 * @param onFailure What to tell then.
 */
export async function deno(args: readonly string[], onFailure: string): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: PROJECT })
    .spawn().status;
  if (code === 0) return;
  console.error(onFailure);
  Deno.exit(1);
}
