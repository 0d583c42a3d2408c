/**
 * A network namespace for one daemon, with addresses besides loopback.
 *
 * @module
 */

import { type Daemon, type Result, run } from "./programs.ts";
import { freePort, until } from "../servers/mod.ts";

/** The programs that these functions need. */
export const NETWORK_PROGRAMS: readonly string[] = ["unshare", "nsenter", "ip", "curl"];

/** The addresses in the namespace, besides loopback. */
export const LOCAL_ADDRESSES: readonly string[] = ["10.9.8.7", "fd00::7"];

/** Runs a program in a network namespace of its own. */
export const IN_NETWORK_NAMESPACE: readonly string[] = [
  ...["unshare", "--map-root-user", "--net", "sh", "-c"],
  [
    "PATH=$PATH:/usr/sbin:/sbin",
    "ip link set lo up",
    ...LOCAL_ADDRESSES.map((address) => `ip address add ${address} dev lo`),
    'exec "$@"',
  ].join(" && "),
  "sh",
];

/**
 * Runs a command in a daemon's network namespace.
 *
 * @param daemon The daemon.
 * @param command The command.
 */
export function runInNetwork(daemon: Daemon, ...command: readonly string[]): Promise<Result> {
  const network = ["--user", "--net", "--preserve-credentials", "--target", String(daemon.pid)];
  return run("nsenter", [...network, ...command], { NO_COLOR: "1" });
}

/** A service in a daemon's network namespace. Its response is the number of requests so far. */
export class NetworkService implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  /** Its port. */
  readonly port = freePort();

  private constructor(daemon: Daemon, hostname: string) {
    const script = `let requests = 0;
      Deno.serve({ hostname: "${hostname}", port: ${this.port} }, () => new Response(String(++requests)));`;
    this.#process = new Deno.Command("nsenter", {
      args: [
        ...["--user", "--net", "--preserve-credentials", "--target", String(daemon.pid)],
        ...[Deno.execPath(), "eval", "--no-lock", script],
      ],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
  }

  /** Starts a service, and waits until it listens. */
  static async start(daemon: Daemon, hostname = "127.0.0.1"): Promise<NetworkService> {
    const service = new NetworkService(daemon, hostname);
    const port = service.port.toString(16).toUpperCase().padStart(4, "0");
    // The state 0A is LISTEN.
    const listens = new RegExp(`:${port} [0-9A-F]+:0000 0A `);
    await until("the service listens", async () => {
      const { stdout } = await runInNetwork(daemon, "cat", "/proc/net/tcp", "/proc/net/tcp6");
      return listens.test(stdout);
    });
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }
}

/** A request of {@linkcode getAllInNetwork}. */
export interface NetworkRequest {
  /** The path. */
  readonly path: string;
  /** The request's headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Ends each response in the output of curl. */
const END = "\x1e";

/**
 * Sends GET requests to a daemon from its network namespace, one after the other.
 *
 * @param daemon The daemon.
 * @param requests The requests.
 * @param host The daemon's address.
 * @param options Further arguments for curl.
 */
export async function getAllInNetwork(
  daemon: Daemon,
  requests: readonly NetworkRequest[],
  host = "127.0.0.1",
  options: readonly string[] = [],
): Promise<{ status: number; body: string }[]> {
  const args = requests.map(({ path, headers = {} }) => [
    ...["--silent", "--show-error", "--globoff", "--max-time", "20"],
    ...["--write-out", `\n%{http_code}${END}`],
    ...Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ...options,
    `http://${host.includes(":") ? `[${host}]` : host}:${daemon.port}${path}`,
  ]);
  const { code, stdout, stderr } = await runInNetwork(
    daemon,
    "curl",
    ...args.flatMap((arg, i) => i === 0 ? arg : ["--next", ...arg]),
  );
  if (code !== 0) throw new Error(`curl failed: ${stderr}`);
  return stdout.split(END).slice(0, -1).map((response) => {
    const end = response.lastIndexOf("\n");
    return { status: Number(response.slice(end + 1)), body: response.slice(0, end) };
  });
}

/**
 * Sends a GET request to a daemon from its network namespace.
 *
 * @param daemon The daemon.
 * @param path The path.
 * @param headers The request's headers.
 * @param host The daemon's address.
 * @param options Further arguments for curl.
 */
export async function getInNetwork(
  daemon: Daemon,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  host = "127.0.0.1",
  options: readonly string[] = [],
): Promise<{ status: number; body: string }> {
  const [response] = await getAllInNetwork(daemon, [{ path, headers }], host, options);
  return response!;
}
