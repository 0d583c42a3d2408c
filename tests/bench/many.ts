import { connect } from "node:net";
import { type Daemon, TempFolder } from "../support/programs.ts";
import { wrk } from "./wrk.ts";

/** How many clients ask at once. */
const CLIENTS = 64;

/**
 * Asks a daemon for as many services, on as many paths, and from as many addresses of this machine's
 * loopback network. Every answer must be one.
 *
 * @param daemon Whom to ask.
 * @param count How many.
 */
export async function askForManyThings(daemon: Daemon, count: number): Promise<void> {
  await askForManyServices(daemon, count);
  let next = 0;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (next < count) {
      const answer = await askFrom(addressOf(next++), daemon.port);
      if (!answer.startsWith("HTTP/1.0 200 ")) throw new Error(`not up: ${answer}`);
    }
  }));
}

async function askForManyServices(daemon: Daemon, count: number): Promise<void> {
  using folder = new TempFolder();
  // The port has no server, and each path is a service of its own: every check runs, and is remembered.
  const script = folder.write(
    "many.lua",
    `local n = 0
function request()
  n = n + 1
  return wrk.format("GET", "/http/service-" .. n .. "/1/path-" .. n)
end
`,
  );
  for (let asked = 0; asked < count;) {
    const url = daemon.url("/");
    asked += (await wrk({ url, connections: 32, seconds: 20, script })).answers;
  }
}

/** One of 16 million addresses that all are this machine. */
function addressOf(i: number): string {
  const n = i + 2;
  return `127.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

function askFrom(localAddress: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress });
    let answer = "";
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => answer += text);
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
    socket.write("GET /spool/web/0/status HTTP/1.0\r\n\r\n");
  });
}
