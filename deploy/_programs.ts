import { daemonGrants, type Grant, hactlGrants } from "../src/permissions.ts";

/** A program that a host installs. */
export interface Program {
  /** Its name. */
  readonly name: string;
  /** Its first module. */
  readonly entry: string;
  /** Modules that it starts by themselves, and that no other imports. */
  readonly workers: readonly string[];
  /** What it may do. */
  readonly grants: readonly Grant[];
  /** The older names it goes by, each with the arguments that it then stands for. */
  readonly aliases: Readonly<Record<string, readonly string[]>>;
}

/** What is built and installed. */
export const PROGRAMS: readonly Program[] = [
  {
    name: "hacheck",
    entry: "main.ts",
    workers: ["src/worker.ts"],
    grants: daemonGrants(),
    aliases: {},
  },
  {
    name: "hactl",
    entry: "cli/hactl.ts",
    workers: [],
    grants: hactlGrants(),
    aliases: {
      haup: ["-a", "up"],
      hadown: ["-a", "down"],
      hastatus: ["-a", "status"],
      halist: ["-a", "list"],
      hashowdowned: ["-a", "status_downed"],
    },
  },
];

/**
 * Runs Deno in the project's folder, and ends this program if it fails.
 *
 * @param args Deno's arguments.
 * @param onFailure What to tell then.
 */
export async function deno(args: readonly string[], onFailure: string): Promise<void> {
  const cwd = new URL("../", import.meta.url);
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd }).spawn().status;
  if (code === 0) return;
  console.error(onFailure);
  Deno.exit(1);
}
