import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { parseResponse, RawConnection } from "../support/raw_http.ts";
import { afterRequest, FaultyServer, sending } from "../servers/faulty.ts";

/** The statuses whose responses have no body (RFC 9112, section 6.3). 205 is not among them. */
const BODILESS: readonly number[] = [204, 304];

/** A service that responds to `/<status>` with that status. */
function statusService(framing: string): Promise<FaultyServer> {
  return FaultyServer.start((socket) => {
    const respond = (bytes: Uint8Array) => {
      const [, status] = /^GET \/(\d+) /.exec(new TextDecoder().decode(bytes)) ?? [];
      if (status !== undefined) {
        afterRequest(sending(`HTTP/1.1 ${status} So\r\n${framing}`))(socket);
      }
    };
    socket.once("data", (bytes) => respond(bytes as Uint8Array));
  });
}

Deno.test("a client that keeps its connection never waits for a missing body, whatever the status is", async () => {
  await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
  await using service = await statusService("Content-Length: 0\r\n\r\n");
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    using connection = await RawConnection.open(daemon.port);
    for (const status of [200, 201, 202, 204, 205, 206, 301, 304, 404, 500, 503, 299]) {
      const path = `/http/web/${service.port}/${status}`;
      await connection.send(`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const expected = status === 205 ? 204 : status === 299 ? 503 : status;
      let response = "";
      while (!response.includes("\r\n\r\n")) response += await connection.readSome();
      const { status: code, headers, body } = parseResponse(response);
      assertEquals(code, expected, `${method} ${status}`);
      if (method === "HEAD" || BODILESS.includes(code)) {
        assertEquals(body, "");
        continue;
      }
      const length = headers.get("content-length");
      assert(length !== null, `${method} ${status} has no length: ${response}`);
      while (response.split("\r\n\r\n")[1]!.length < Number(length)) {
        response += await connection.readSome();
      }
    }
  }
});
