import { headerSources } from "../../../src/server/request_headers.ts";
import { assertEquals } from "../../support/assert.ts";

/** What was looked up in a request with `X-Name: a`, sent to a `Deno.serve` that answers at once. */
async function lookedUp(look: (request: Request) => unknown): Promise<unknown> {
  let seen: unknown;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    seen = look(request);
    return new Response("fine");
  });
  const headers = [["X-Name", "a"], ["X-Twice", "b"], ["X-Twice", "c"]] as [string, string][];
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, { headers });
  assertEquals(await response.text(), "fine");
  return seen;
}

Deno.test("headers of a request of Deno.serve are what `headers` says they are", async () => {
  const names = ["x-name", "X-Name", "x-twice", "x-other", "host", "User-Agent"];
  const [found, expected] = await lookedUp((request) => {
    const source = headerSources()(request);
    return [names.map((name) => source.get(name)), names.map((name) => request.headers.get(name))];
  }) as [unknown, unknown];
  assertEquals(found, expected);
});

Deno.test("headers of a request of Deno.serve are looked up without making `headers`", async () => {
  const made = await lookedUp((request) => {
    const symbol = Object.getOwnPropertySymbols(request)
      .find(({ description }) => description === "headers cache");
    headerSources()(request).get("x-name");
    return [symbol !== undefined, Reflect.get(request, symbol!)];
  });
  assertEquals(made, [true, undefined]);
});

const ELSEWHERE: readonly [what: string, request: Request][] = [
  ["a request that no server got", new Request("http://web/", { headers: { "x-name": "a" } })],
  [
    "an object that keeps its headers elsewhere",
    { headers: new Headers({ "x-name": "a" }) } as unknown as Request,
  ],
  [
    "an object that keeps something else there",
    {
      [Symbol("request")]: undefined,
      headers: new Headers({ "x-name": "a" }),
    } as unknown as Request,
  ],
];

for (const [what, request] of ELSEWHERE) {
  Deno.test(`headers of ${what} are looked up in its headers`, () => {
    const source = headerSources()(request);
    assertEquals(source.get("x-name"), "a");
    assertEquals(source.get("x-other"), null);
  });
}
