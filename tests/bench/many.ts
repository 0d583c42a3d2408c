import { connect } from "node:net";
import { type Daemon, TempFolder } from "../support/programs.ts";
import { wrk } from "./wrk.ts";

/** The number of clients at once. */
const CLIENTS = 64;

/**
 * Checks many services, each on its own path, and then one service from as many loopback addresses.
 *
 * @param daemon The daemon.
 * @param count The number of services and of addresses.
 * @throws {Error} If a request from one of the addresses gets no response, or not 200.
 */
export async function requestManyServices(daemon: Daemon, count: number): Promise<void> {
  await checkServices(daemon, count);
  let next = 0;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (next < count) {
      const response = await checkFrom(addressOf(next++), daemon.port);
      if (!response.startsWith("HTTP/1.0 200 ")) {
        throw new Error(`expected 200: received ${response}`);
      }
    }
  }));
}

async function checkServices(daemon: Daemon, count: number): Promise<void> {
  using folder = new TempFolder();
  // No server listens on the port, and no service repeats: every check runs, and its verdict is cached.
  const script = folder.write(
    "many.lua",
    `local n = 0
function request()
  n = n + 1
  return wrk.format("GET", "/http/service-" .. n .. "/1/path-" .. n)
end
`,
  );
  for (let sent = 0; sent < count;) {
    const url = daemon.url("/");
    sent += (await wrk({ url, connections: 32, seconds: 20, script })).responses;
  }
}

/** Returns one of the 16 million loopback addresses. */
function addressOf(i: number): string {
  const n = i + 2;
  return `127.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

function checkFrom(localAddress: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress });
    let response = "";
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => response += text);
    socket.on("error", reject);
    socket.on("close", () => resolve(response));
    socket.write("GET /spool/web/0/status HTTP/1.0\r\n\r\n");
  });
}
