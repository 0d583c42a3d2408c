import { assert, assertEquals, assertRejects } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Wire } from "../load/wire.ts";
import { ContractError, Conversation } from "./conversation.ts";
import { fuzz } from "./fuzz.ts";
import { initialDowntimes, type World } from "./world.ts";

Deno.test("fuzz() receives only responses that agree with the model", async () => {
  const requests = caseCount(20_000);
  const report = await fuzz({ requests, seed: 1, connections: 16, only: null });
  assertEquals(report.failures, []);
  assert(report.sent.requests >= requests);
  assert(report.canary.correct > 0);
});

const WORLD: World = {
  ports: { alive: 1, closed: 2, garbage: 3, resetting: 4, silent: 5, "tiny chunks": 6 },
  downtimes: initialDowntimes(),
};

Deno.test("Conversation.bytes depends on the seed alone", () => {
  const bytes = (seed: number) =>
    Array.from({ length: 50 }, (_, i) => new Conversation(seed, i, WORLD, "x").bytes);
  assertEquals(bytes(7), bytes(7));
  assertEquals(bytes(7).filter((text, i) => text === bytes(8)[i] && text !== ""), []);
});

/** Servers that break the contract. */
const WRONG_SERVERS: Readonly<Record<string, (request: Request) => Response>> = {
  "reports every service as up": () => new Response(""),
  "reports every service as down": () => new Response("down", { status: 503 }),
  "responds 404 to every path": () => new Response("Not found: expected /", { status: 404 }),
  "responds 500 to every path": () => new Response("Internal error", { status: 500 }),
};

for (const [fault, respond] of Object.entries(WRONG_SERVERS)) {
  Deno.test(`Conversation.run() rejects a server that ${fault}`, async () => {
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, respond);
    await assertRejects(async () => {
      for (let i = 0; i < 50; i++) {
        await new Conversation(1, i, WORLD, "x").run(await Wire.open(server.addr.port));
      }
    }, ContractError);
  });
}
