import { Deadlines } from "../../../src/checks/deadlines.ts";
import { assert, assertEquals } from "../../support/assert.ts";

/** How long things may take here, in milliseconds. */
const PATIENCE = 60;

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Begins, and resolves with how long it took until that was told, in milliseconds. */
function told(deadlines: Deadlines): Promise<number> {
  const began = performance.now();
  return new Promise((resolve) => deadlines.begin(() => resolve(performance.now() - began)));
}

Deno.test("what is not over in time is told, each after its own time and in the order they began", async () => {
  const deadlines = new Deadlines(PATIENCE);
  const order: string[] = [];
  const first = told(deadlines).finally(() => order.push("first"));
  await delay(PATIENCE / 2);
  const second = told(deadlines).finally(() => order.push("second"));
  const third = told(deadlines).finally(() => order.push("third"));
  for (const took of await Promise.all([first, second, third])) assert(took >= PATIENCE, `${took}`);
  assertEquals(order, ["first", "second", "third"]);
});

Deno.test("what is over is not told, and keeps nobody from being told", async () => {
  const deadlines = new Deadlines(PATIENCE);
  const wrong: string[] = [];
  const oldest = deadlines.begin(() => wrong.push("oldest"));
  await delay(PATIENCE / 2);
  const waiting = told(deadlines);
  const newest = deadlines.begin(() => wrong.push("newest"));
  oldest[Symbol.dispose]();
  newest[Symbol.dispose]();
  newest[Symbol.dispose]();
  assert(await waiting >= PATIENCE);
  assertEquals(wrong, []);
});

Deno.test("once all are over no timer is left, and who begins then is told", async () => {
  const deadlines = new Deadlines(PATIENCE);
  {
    using _deadline = deadlines.begin(() => {});
  }
  // Were a timer left, the test would be told of.
  assert(await told(deadlines) >= PATIENCE);
});

Deno.test("who begins while others are told of is told, too", async () => {
  const deadlines = new Deadlines(PATIENCE);
  const both = Promise.withResolvers<number>();
  deadlines.begin(() => told(deadlines).then(both.resolve));
  const other = told(deadlines);
  assert(await both.promise >= PATIENCE);
  assert(await other >= PATIENCE);
});

Deno.test("Deadlines lets what was received during a stall be read before it enforces a deadline", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using peer = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using connection = await listener.accept();
  const deadlines = new Deadlines(PATIENCE);
  let isTold = false;
  const deadline = deadlines.begin(() => isTold = true);
  const reading = connection.read(new Uint8Array(1)).then(() => deadline[Symbol.dispose]());
  peer.write(new Uint8Array(1));
  const stalledAt = performance.now();
  while (performance.now() - stalledAt < 3 * PATIENCE);
  await reading;
  await delay(2 * PATIENCE);
  assertEquals(isTold, false);
  // Who still does not answer is told of all the same.
  const late = told(deadlines);
  const began = performance.now();
  while (performance.now() - began < 3 * PATIENCE);
  assert(await late >= 3 * PATIENCE);
});
