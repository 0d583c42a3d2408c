import { Deadlines } from "../../../src/checks/deadlines.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";

/** The timeout of the deadlines here. */
const TIMEOUT_MS = 60;

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Begins a deadline, and resolves with how many milliseconds later it fired. */
function fired(deadlines: Deadlines): Promise<number> {
  const began = performance.now();
  return new Promise((resolve) => deadlines.begin(() => resolve(performance.now() - began)));
}

Deno.test("Deadlines.begin() fires each deadline after its own time, in the order they began", async () => {
  const deadlines = new Deadlines(TIMEOUT_MS);
  const order: string[] = [];
  const first = fired(deadlines).finally(() => order.push("first"));
  await delay(TIMEOUT_MS / 2);
  const second = fired(deadlines).finally(() => order.push("second"));
  const third = fired(deadlines).finally(() => order.push("third"));
  for (const took of await Promise.all([first, second, third])) {
    assert(took >= TIMEOUT_MS, `${took}`);
  }
  assertEquals(order, ["first", "second", "third"]);
});

Deno.test("Deadlines.begin() does not fire once disposed, and still fires the others", async () => {
  const deadlines = new Deadlines(TIMEOUT_MS);
  const wrong: string[] = [];
  const oldest = deadlines.begin(() => wrong.push("oldest"));
  await delay(TIMEOUT_MS / 2);
  const waiting = fired(deadlines);
  const newest = deadlines.begin(() => wrong.push("newest"));
  oldest[Symbol.dispose]();
  newest[Symbol.dispose]();
  newest[Symbol.dispose]();
  assert(await waiting >= TIMEOUT_MS);
  assertEquals(wrong, []);
});

Deno.test("Deadlines.begin() leaves no timer once all are disposed, and fires those that begin later", async () => {
  const deadlines = new Deadlines(TIMEOUT_MS);
  {
    using _deadline = deadlines.begin(() => {});
  }
  // The sanitizer would report a timer that is left.
  assert(await fired(deadlines) >= TIMEOUT_MS);
});

Deno.test("Deadlines.begin() fires a deadline that began while another one fired", async () => {
  const deadlines = new Deadlines(TIMEOUT_MS);
  const both = Promise.withResolvers<number>();
  deadlines.begin(() => fired(deadlines).then(both.resolve));
  const other = fired(deadlines);
  assert(await both.promise >= TIMEOUT_MS);
  assert(await other >= TIMEOUT_MS);
});

Deno.test("Deadlines lets the program read what was received during a stall before it fires", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using peer = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using connection = await listener.accept();
  const deadlines = new Deadlines(TIMEOUT_MS);
  let isFired = false;
  const deadline = deadlines.begin(() => isFired = true);
  const reading = connection.read(new Uint8Array(1)).then(() => deadline[Symbol.dispose]());
  peer.write(new Uint8Array(1));
  const stalledAt = performance.now();
  while (performance.now() - stalledAt < 3 * TIMEOUT_MS);
  await reading;
  await delay(2 * TIMEOUT_MS);
  assertEquals(isFired, false);
  // A peer that still does not answer makes the deadline fire.
  const late = fired(deadlines);
  const began = performance.now();
  while (performance.now() - began < 3 * TIMEOUT_MS);
  assert(await late >= 3 * TIMEOUT_MS);
});

/** Begins a deadline by a clock, and returns a function that reports whether it has fired. */
function begin(deadlines: Deadlines): () => boolean {
  let isFired = false;
  deadlines.begin(() => isFired = true);
  return () => isFired;
}

Deno.test("Deadlines.begin() fires soon after a deadline that no stall delays", async () => {
  const clock = new TestClock();
  const isFired = begin(new Deadlines(1000, clock));
  await clock.advance(1000);
  assertEquals(isFired(), false);
  await clock.advance(20);
  assertEquals(isFired(), true);
});

for (const first of [5, 300, 100_000]) {
  Deno.test(`Deadlines lets the program read between stalls that follow one of ${first} ms over a deadline`, async () => {
    const clock = new TestClock();
    const isFired = begin(new Deadlines(1000, clock));
    await clock.advance(990);
    clock.stall(10 + first);
    for (const run of [0, 12, 19, 5, 0]) {
      await clock.advance(run);
      assertEquals(isFired(), false);
      clock.stall(200);
    }
    await clock.advance(0);
    await clock.advance(99);
    assertEquals(isFired(), false);
    await clock.advance(1);
    assertEquals(isFired(), true);
  });
}

Deno.test("Deadlines fires at last if the program never stops stalling", async () => {
  const clock = new TestClock();
  const isFired = begin(new Deadlines(1000, clock));
  let stalls = 0;
  for (; !isFired() && stalls < 100; stalls++) {
    clock.stall(1500);
    await clock.advance(0);
  }
  assertEquals(stalls, 11);
});

Deno.test("Deadlines fires those that passed during a stall together, and no others", async () => {
  const clock = new TestClock();
  const deadlines = new Deadlines(1000, clock);
  const early = [begin(deadlines)];
  await clock.advance(300);
  early.push(begin(deadlines));
  await clock.advance(600);
  const late = begin(deadlines);
  clock.stall(600);
  await clock.advance(0);
  const isFired = () => [...early, late].map((fired) => fired());
  assertEquals(isFired(), [false, false, false]);
  await clock.advance(100);
  assertEquals(isFired(), [true, true, false]);
  await clock.advance(320);
  assertEquals(isFired(), [true, true, true]);
});
