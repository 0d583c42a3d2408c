/**
 * The flags that name daemons, and the files that they name.
 *
 * @module
 */

import { type CommandLine, UsageError } from "../src/flags.ts";
import type { CommandName, FlagName } from "./command_spec.ts";
import type { Trust } from "./daemons/remote.ts";
import { type DaemonUrl, parseDaemonUrl } from "./daemons/url.ts";
import { errorMessage } from "./terminal.ts";

/**
 * Returns the daemons that `--daemon` and `--daemon-file` name, each once, with the token and the
 * authorities for them.
 *
 * @param command The command.
 * @param line The command line.
 * @throws {UsageError} If a URL or a file is invalid, or flags exclude each other.
 */
export async function daemonFlags(
  command: CommandName,
  line: CommandLine,
): Promise<{ daemons: DaemonUrl[]; trust: Trust }> {
  rejectSecondStdin(line);
  const daemons = await daemonsIn(line);
  if (daemons.length === 0) {
    for (const flag of command === "wait" ? ["ca-file"] : ["ca-file", "timeout"]) {
      if (line.has(flag)) throw new UsageError(`--${flag} needs --daemon`);
    }
  } else {
    for (const [flag, short] of [["service-host", "-H"], ["port", "-p"]] as const) {
      if (line.has(flag)) throw new UsageError(`${short} cannot be used with --daemon`);
    }
    if (Number(line.one("service-port") ?? NaN) === 0) {
      throw new UsageError("-P 0 cannot be used with --daemon");
    }
  }
  const authorities = await checkedContent(
    line,
    "ca-file",
    "certificates in PEM",
    (content) => content.includes("-----BEGIN CERTIFICATE-----"),
  );
  // The token goes into a header, which a line feed would end.
  const token = await checkedContent(
    line,
    "token-file",
    "one word",
    (content) => /^[\x21-\x7e]+$/.test(content.trim()),
  );
  return { daemons, trust: { token: token?.trim() ?? null, authorities } };
}

/** Rejects a second flag that reads the standard input: it would find it empty. */
function rejectSecondStdin(line: CommandLine): void {
  const flags = ["token-file", "ca-file", "daemon-file"] as const;
  const onStdin = flags.flatMap((flag) =>
    (flag === "daemon-file" ? line.all(flag) : [line.one(flag)])
      .filter((path) => path === "-").map(() => `--${flag} -`)
  );
  if (onStdin.length > 1) {
    throw new UsageError(
      `Only one flag can read the standard input: received ${onStdin.join(" and ")}`,
    );
  }
}

async function daemonsIn(line: CommandLine): Promise<DaemonUrl[]> {
  const urls = line.all("daemon").map((text) => parseDaemonUrl("--daemon", text));
  for (const path of line.all("daemon-file")) {
    const content = await contentOf("daemon-file", path);
    const lines = content.split("\n")
      .map((text, i) => ({ text: text.split("#")[0]!.trim(), number: i + 1 }))
      .filter(({ text }) => text !== "");
    if (lines.length === 0) {
      throw new UsageError(`Bad --daemon-file ${path}: expected a URL a line: found none`);
    }
    // With sudo, hactl reads files that its caller may not read: a message must not quote them.
    urls.push(
      ...lines.map(({ text, number }) =>
        parseDaemonUrl(`--daemon-file ${path}`, text, `something else in line ${number}`)
      ),
    );
  }
  return [...new Map(urls.map((url) => [url.shown, url])).values()];
}

/** Reads the file of a flag; null without the flag. */
async function checkedContent(
  line: CommandLine,
  flag: FlagName,
  expected: string,
  isValid: (content: string) => boolean,
): Promise<string | null> {
  const path = line.one(flag);
  if (path === undefined) return null;
  const content = await contentOf(flag, path);
  if (isValid(content)) return content;
  throw new UsageError(`Bad --${flag} ${path}: expected ${expected}: found something else`);
}

/** Reads a file that a flag names. `-` is the standard input. */
async function contentOf(flag: FlagName, path: string): Promise<string> {
  if (path === "-") return await new Response(Deno.stdin.readable).text();
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    // The installed script grants the files that its flags name, except names that Deno cannot grant.
    const why = error instanceof Deno.errors.NotCapable
      ? "hactl is not permitted to: move the file to /etc/hacheck, or use - for the standard input"
      : errorMessage(error);
    throw new UsageError(`Cannot read --${flag} ${path}: ${why}`);
  }
}
