import { headerForgetter } from "../../../src/server/forget_headers.ts";
import { assertEquals } from "../../assert.ts";

Deno.test("a request of Deno.serve forgets that its headers were looked at, and can still be answered", async () => {
  const forget = headerForgetter();
  const seen: unknown[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      const { headers } = request;
      seen.push(headers === request.headers, headers.get("x-name"));
      forget(request);
      // Others are made at the next look, so those were forgotten.
      seen.push(headers === request.headers, request.headers.get("x-name"));
      forget(request);
      return new Response("fine");
    },
  );
  for (const name of ["first", "second"]) {
    const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, {
      headers: { "X-Name": name },
    });
    assertEquals(await response.text(), "fine");
  }
  assertEquals(seen, [true, "first", false, "first", true, "second", false, "second"]);
});

Deno.test("an object that keeps its headers elsewhere is left as it is", () => {
  const request = { headers: new Headers({ "x-name": "a" }) } as unknown as Request;
  headerForgetter()(request);
  assertEquals(request.headers.get("x-name"), "a");
});
