/**
 * A network of a daemon's own, where this machine has addresses beside those of loopback.
 *
 * @module
 */

import { type Daemon, type Result, run } from "./programs.ts";

/** The programs that this needs. */
export const NETWORK_PROGRAMS: readonly string[] = ["unshare", "nsenter", "ip", "curl"];

/** The addresses of this machine there, beside those of loopback. */
export const OWN_ADDRESSES: readonly string[] = ["10.9.8.7", "fd00::7"];

/** Runs a program in a network of its own. */
export const IN_OWN_NETWORK: readonly string[] = [
  ...["unshare", "--map-root-user", "--net", "sh", "-c"],
  [
    "PATH=$PATH:/usr/sbin:/sbin",
    "ip link set lo up",
    ...OWN_ADDRESSES.map((address) => `ip address add ${address} dev lo`),
    'exec "$@"',
  ].join(" && "),
  "sh",
];

/**
 * Runs a command in a daemon's network.
 *
 * @param daemon The daemon.
 * @param command The command.
 */
export function runBeside(daemon: Daemon, ...command: readonly string[]): Promise<Result> {
  const network = ["--user", "--net", "--preserve-credentials", "--target", String(daemon.pid)];
  return run("nsenter", [...network, ...command], { NO_COLOR: "1" });
}

/**
 * Asks a daemon for a page from within its network.
 *
 * @param daemon The daemon.
 * @param path The page.
 * @param headers Headers to send.
 * @param host The address to ask it at.
 * @param options Further arguments for curl.
 */
export async function askBeside(
  daemon: Daemon,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  host = "127.0.0.1",
  options: readonly string[] = [],
): Promise<{ status: number; body: string }> {
  const { code, stdout, stderr } = await runBeside(daemon, "curl", ...[
    ...[
      "--silent",
      "--show-error",
      "--globoff",
      "--max-time",
      "20",
      "--write-out",
      "\n%{http_code}",
    ],
    ...Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ...options,
    `http://${host.includes(":") ? `[${host}]` : host}:${daemon.port}${path}`,
  ]);
  if (code !== 0) throw new Error(`curl failed: ${stderr}`);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
}
