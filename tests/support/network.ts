/**
 * A network of a daemon's own, where this machine has addresses beside those of loopback.
 *
 * @module
 */

import { type Daemon, type Result, run } from "./programs.ts";
import { freePort, until } from "../servers/mod.ts";

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

/** A service in a daemon's network. It answers each request with how many it has had. */
export class ServiceBeside implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  /** Its port. */
  readonly port = freePort();

  private constructor(daemon: Daemon, hostname: string) {
    const script = `let asked = 0;
      Deno.serve({ hostname: "${hostname}", port: ${this.port} }, () => new Response(String(++asked)));`;
    this.#process = new Deno.Command("nsenter", {
      args: [
        ...["--user", "--net", "--preserve-credentials", "--target", String(daemon.pid)],
        ...[Deno.execPath(), "eval", "--no-lock", script],
      ],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
  }

  /** Starts it, and waits until it listens. */
  static async start(daemon: Daemon, hostname = "127.0.0.1"): Promise<ServiceBeside> {
    const service = new ServiceBeside(daemon, hostname);
    const port = service.port.toString(16).toUpperCase().padStart(4, "0");
    // 0A is a socket that listens.
    const listens = new RegExp(`:${port} [0-9A-F]+:0000 0A `);
    await until("the service listens", async () => {
      const { stdout } = await runBeside(daemon, "cat", "/proc/net/tcp", "/proc/net/tcp6");
      return listens.test(stdout);
    });
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }
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
