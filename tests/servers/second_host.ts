/**
 * Another machine beside that of a daemon: each has a network of its own, and a cable joins them.
 *
 * @module
 */

import { until } from "./mod.ts";

/** The programs that this needs. */
export const SECOND_HOST_PROGRAMS: readonly string[] = ["unshare", "nsenter", "ip", "curl"];

/** The neighbour's addresses. It has those of metadata too, as clouds have it. */
export const SECOND_HOST_ADDRESSES = {
  plain: ["10.1.1.2", "fd00:9::2"],
  metadata: ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
} as const;

/** The port on which the neighbour answers every request with 200. */
export const SECOND_HOST_PORT = 8080;

const WITH_TOOLS = "PATH=$PATH:/usr/sbin:/sbin; set -e; ip link set lo up";

/** A machine with an HTTP server. */
export class SecondHost implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #output: Promise<void>;
  #log = "";

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#output = this.#read();
  }

  /** Starts it, and waits until it answers. */
  static async start(): Promise<SecondHost> {
    const script = `Deno.serve(
      { hostname: "::", port: ${SECOND_HOST_PORT}, onListen: () => console.log("ready") },
      () => {
        console.log("asked");
        return new Response("neighbour", { headers: { connection: "close" } });
      },
    )`;
    const program = [Deno.execPath(), "eval", "--no-lock", script];
    const process = new Deno.Command("unshare", {
      args: [
        ...["--map-root-user", "--net", "sh", "-c"],
        ...[`${WITH_TOOLS}; exec "$@"`, "sh", ...program],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const neighbour = new SecondHost(process);
    await until("the neighbour listens", () => neighbour.#log.includes("ready"));
    return neighbour;
  }

  /** How many requests it has got. */
  get asked(): number {
    return this.#log.split("asked").length - 1;
  }

  /** Runs a program on a machine beside it, from which all of its addresses can be reached. */
  get beside(): readonly string[] {
    const { plain, metadata } = SECOND_HOST_ADDRESSES;
    const all = [...plain, ...metadata];
    const there = all.map((address) =>
      address.includes(":")
        ? `ip address add ${address}/128 dev far nodad`
        : `ip address add ${address}/32 dev far`
    );
    const there_routes = ["10.1.1.1", "fd00:9::1"].map((address) =>
      `ip route add ${address} dev far`
    );
    const cable = [
      WITH_TOOLS,
      `ip link add near type veth peer name far netns ${this.#process.pid}`,
      "ip address add 10.1.1.1/32 dev near",
      "ip address add fd00:9::1/128 dev near nodad",
      "ip link set near up",
      `nsenter --net --target ${this.#process.pid} sh -ec '${
        ["ip link set far up", ...there, ...there_routes].join("; ")
      }'`,
      ...all.map((address) => `ip route add ${address} dev near`),
      'exec "$@"',
    ];
    const into = ["--user", "--preserve-credentials", "--target", String(this.#process.pid)];
    return ["nsenter", ...into, "unshare", "--net", "sh", "-c", cable.join("; "), "sh"];
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#output;
  }

  async #read(): Promise<void> {
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      this.#log += text;
    }
  }
}
