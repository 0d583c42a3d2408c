import { FLAGS } from "../cli/command_spec.ts";
import { parseFlags, UsageError } from "../src/flags.ts";
import { daemonFlags, HACTL_FILE_FLAGS, hactlFlags } from "../src/daemon/permissions.ts";

/** A program that is installed. */
export interface Program {
  readonly name: string;
  /** The first module, as a path in the project. */
  readonly entry: string;
  /** The modules of its workers. */
  readonly workers: readonly string[];
  /**
   * Returns the arguments for Deno: permissions and V8 flags.
   *
   * @param project The folder of the code, with a slash at its end; null for a compiled program.
   */
  readonly flags: (project: string | null) => readonly string[];
  /** Flags whose values are files, in each spelling. The script permits the program to read these. */
  readonly fileFlags: readonly string[];
  /** Flags, with one of which alone the script does so; none if it always does. */
  readonly fileFlagsOnlyWith: readonly string[];
  /** Whether systemd supervises it: the script then permits it to notify systemd. */
  readonly notifies: boolean;
  /** Older names of the program, each with the arguments that it stands for. */
  readonly aliases: Readonly<Record<string, readonly string[]>>;
}

/** Keeps V8's heap small: see docs/deno.md. */
export const V8_HEAP_FLAGS = "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20";

export const PROGRAMS: readonly Program[] = [
  {
    name: "hacheck",
    entry: "main.ts",
    workers: ["src/daemon/worker.ts"],
    flags: (project) => [V8_HEAP_FLAGS, ...daemonFlags({ project })],
    fileFlags: ["-c", "--config-file"],
    // The daemon itself reads its configuration again later, from the places that it is installed for.
    fileFlagsOnlyWith: ["--check-config", "--print-config"],
    notifies: true,
    aliases: {},
  },
  {
    name: "hactl",
    entry: "cli/hactl.ts",
    workers: [],
    flags: () => hactlFlags(),
    fileFlags: Object.keys(HACTL_FILE_FLAGS).flatMap(spellingsOf),
    fileFlagsOnlyWith: [],
    notifies: false,
    aliases: {
      haup: ["-a", "up"],
      hadown: ["-a", "down"],
      hastatus: ["-a", "status"],
      halist: ["-a", "list"],
      hashowdowned: ["-a", "status_downed"],
    },
  },
];

/** Lists the spellings of a flag of hactl: in full, and abbreviated. */
function spellingsOf(flag: string): string[] {
  const lengths = Array.from(flag, (_, i) => i + 1);
  return lengths.map((length) => `--${flag.slice(0, length)}`).filter((spelling) => {
    try {
      return parseFlags([`${spelling}=x`], FLAGS).all(flag).length > 0;
    } catch (error) {
      if (error instanceof UsageError) return false;
      throw error;
    }
  });
}

/** The folder of the project, with a slash at its end. */
export const PROJECT: string = decodeURIComponent(new URL("../", import.meta.url).pathname);

/**
 * Runs Deno in the folder of the project. If that fails, it ends this program.
 *
 * @param args The arguments for Deno.
 * @param onFailure The message to print on failure.
 */
export async function deno(args: readonly string[], onFailure: string): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: PROJECT })
    .spawn().status;
  if (code === 0) return;
  console.error(onFailure);
  Deno.exit(1);
}
