/**
 * A gRPC server by Debian's Python package, which uses the C++ core that most languages share.
 *
 * Servers from npm use `node:http2`, whose server side in Deno 2.9.6 ends the whole process after some hundred
 * connections.
 *
 * @module
 */

import { ServerProcess } from "./process.ts";

const PYTHON = "/usr/bin/python3";

/** The programs that it needs. */
export const GRPC_PROGRAMS: readonly string[] = [
  PYTHON,
  "/usr/lib/python3/dist-packages/grpc/__init__.py",
];

/** The statuses of services; the empty name is the whole server. */
export type Health = Readonly<Record<string, "UNKNOWN" | "SERVING" | "NOT_SERVING">>;

/**
 * Serves grpc.health.v1 by a file of statuses, which it reads for each call. A call for `its-traceparent` fails with
 * the call's header of that name.
 */
const SCRIPT = `
import json, sys, threading
from concurrent import futures
import grpc

port, path = sys.argv[1:]

def length(request):
    shift, size = 0, 0
    for at, byte in enumerate(request[1:], 2):
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return at, size

def check(request, context):
    name = ""
    if request:
        assert request[0] == 10
        start, size = length(request)
        assert len(request) == start + size
        name = request[start:].decode()
    if name == "its-traceparent":
        metadata = dict(context.invocation_metadata())
        context.abort(grpc.StatusCode.UNKNOWN, metadata.get("traceparent", "none"))
    with open(path) as file:
        status = json.load(file).get(name)
    if status is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    number = ["UNKNOWN", "SERVING", "NOT_SERVING"].index(status)
    # Protobuf leaves out a zero.
    return bytes([8, number]) if number else b""

class Health(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)

# Do not share a port with another server.
server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
if path:
    server.add_generic_rpc_handlers((Health(),))
if server.add_insecure_port("127.0.0.1:" + port) == 0:
    sys.exit("the port is taken")
server.start()
threading.Event().wait()
`;

/** A gRPC server of 127.0.0.1. */
export class Grpc extends ServerProcess {
  #health: Health | null;

  private constructor(health: Health | null) {
    super();
    this.#health = health;
  }

  /**
   * Starts a server, and waits until it accepts connections.
   *
   * @param health The statuses of its services; null for a server without grpc.health.v1.
   */
  static start(health: Health | null): Promise<Grpc> {
    return new Grpc(health).launch();
  }

  /** Sets the status of a service. */
  setStatus(service: string, status: Health[string]): void {
    this.#health = { ...this.#health, [service]: status };
    this.#writeHealth();
  }

  protected override commandOn(port: number): readonly string[] {
    const path = this.#health === null ? "" : this.#writeHealth();
    return [PYTHON, this.folder.write("server.py", SCRIPT), String(port), path];
  }

  #writeHealth(): string {
    return this.folder.write("health.json", JSON.stringify(this.#health));
  }
}
