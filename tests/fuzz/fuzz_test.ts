import { assert, assertEquals, assertRejects } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Wire } from "../load/wire.ts";
import { Conversation, Wrong } from "./conversation.ts";
import { fuzz } from "./fuzz.ts";
import { condemned, type World } from "./world.ts";

Deno.test("the responses to random requests agree with the model", async () => {
  const requests = caseCount(20_000);
  const report = await fuzz({ requests, seed: 1, connections: 16, only: null });
  assertEquals(report.wrong, []);
  assert(report.sent.requests >= requests);
  assert(report.canary.right > 0);
});

const WORLD: World = {
  ports: { alive: 1, closed: 2, garbage: 3, resetting: 4, silent: 5, "tiny chunks": 6 },
  condemned: condemned(),
};

Deno.test("A seed says the same each time, and another seed something else", () => {
  const bytes = (seed: number) =>
    Array.from({ length: 50 }, (_, i) => new Conversation(seed, i, WORLD, "x").bytes);
  assertEquals(bytes(7), bytes(7));
  assertEquals(bytes(7).filter((said, i) => said === bytes(8)[i] && said !== ""), []);
});

/** Servers that a daemon must not be like. */
const LIARS: Readonly<Record<string, (request: Request) => Response>> = {
  "says that everything is up": () => new Response(""),
  "says that everything is down": () => new Response("down", { status: 503 }),
  "knows no path": () => new Response("Not found: expected /", { status: 404 }),
  "answers 500": () => new Response("Internal error", { status: 500 }),
};

for (const [lie, answer] of Object.entries(LIARS)) {
  Deno.test(`A server that ${lie} is found out`, async () => {
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
    await assertRejects(async () => {
      for (let i = 0; i < 50; i++) {
        await new Conversation(1, i, WORLD, "x").hold(await Wire.open(server.addr.port));
      }
    }, Wrong);
  });
}
