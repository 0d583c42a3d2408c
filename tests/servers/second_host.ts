/**
 * A second host: two network namespaces, joined by a virtual cable.
 *
 * @module
 */

import { until } from "./mod.ts";

/** The programs that it needs. */
export const SECOND_HOST_PROGRAMS: readonly string[] = ["unshare", "nsenter", "ip", "curl"];

/** The addresses of the second host, among them those of clouds' metadata services. */
export const SECOND_HOST_ADDRESSES = {
  plain: ["10.1.1.2", "fd00:9::2"],
  metadata: ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
} as const;

/** The port on which the second host responds with 200 to every request. */
export const SECOND_HOST_PORT = 8080;

const WITH_TOOLS = "PATH=$PATH:/usr/sbin:/sbin; set -e; ip link set lo up";

/** A network namespace with an HTTP server. */
export class SecondHost implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #output: Promise<void>;
  #log = "";

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#output = this.#read();
  }

  /** Starts the host, and waits until its server listens. */
  static async start(): Promise<SecondHost> {
    const script = `Deno.serve(
      { hostname: "::", port: ${SECOND_HOST_PORT}, onListen: () => console.log("ready") },
      () => {
        console.log("request");
        return new Response("second host", { headers: { connection: "close" } });
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
    const host = new SecondHost(process);
    await until("the second host listens", () => host.#log.includes("ready"));
    return host;
  }

  /** How many requests it has received. */
  get requests(): number {
    return this.#log.split("request").length - 1;
  }

  /** The command that runs a program on the first host, which can reach all addresses of the second. */
  get firstHost(): readonly string[] {
    const { plain, metadata } = SECOND_HOST_ADDRESSES;
    const all = [...plain, ...metadata];
    const farAddresses = all.map((address) =>
      address.includes(":")
        ? `ip address add ${address}/128 dev far nodad`
        : `ip address add ${address}/32 dev far`
    );
    const farRoutes = ["10.1.1.1", "fd00:9::1"].map((address) => `ip route add ${address} dev far`);
    const cable = [
      WITH_TOOLS,
      `ip link add near type veth peer name far netns ${this.#process.pid}`,
      "ip address add 10.1.1.1/32 dev near",
      "ip address add fd00:9::1/128 dev near nodad",
      "ip link set near up",
      `nsenter --net --target ${this.#process.pid} sh -ec '${
        ["ip link set far up", ...farAddresses, ...farRoutes].join("; ")
      }'`,
      ...all.map((address) => `ip route add ${address} dev near`),
      'exec "$@"',
    ];
    const namespace = ["--user", "--preserve-credentials", "--target", String(this.#process.pid)];
    return ["nsenter", ...namespace, "unshare", "--net", "sh", "-c", cable.join("; "), "sh"];
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
