import fc from "fast-check";
import { Limiter, QueueFullError, type Slot } from "../../../src/checks/limiter.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

/** A signal that never aborts. */
const NEVER = new AbortController().signal;

/** Checks that a limiter admits, by their names. */
class Checks {
  readonly limiter: Limiter;
  /** The checks in flight, in the order in which they got a slot. */
  readonly inFlight: string[] = [];
  readonly #slots = new Map<string, Slot>();

  constructor(limiter: Limiter) {
    this.limiter = limiter;
  }

  /** Starts a check as soon as it gets a slot. */
  start(name: string, service: string, client: string, signal = NEVER): Promise<void> {
    return this.limiter.acquire(service, client, signal).then((slot) => {
      this.inFlight.push(name);
      this.#slots.set(name, slot);
    });
  }

  end(name: string): void {
    this.inFlight.splice(this.inFlight.indexOf(name), 1);
    this.#slots.get(name)![Symbol.dispose]();
  }
}

/** Waits until the reactions to resolved promises have run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("Limiter.tryAcquire() returns a slot without a promise while there is one", () => {
  const limiter = new Limiter(3, 10);
  const slots = [
    limiter.tryAcquire("a", "x"),
    limiter.tryAcquire("b", "y"),
    limiter.tryAcquire("c", "z"),
  ];
  assert(slots.every((slot) => slot !== undefined));
  assertEquals([limiter.tryAcquire("d", "w"), limiter.inFlight], [undefined, 3]);
  slots[1]![Symbol.dispose]();
  assert(limiter.tryAcquire("d", "w") !== undefined);
  assertEquals(limiter.inFlight, 3);
});

/** How many checks may be in flight, and how many of them may be those of one service or client. */
const SHARES = [[1, 1], [2, 1], [3, 2], [4, 2], [5, 3], [256, 128]] as const;

Deno.test("Limiter gives one service, and one client, half of the slots at most", () => {
  for (const [slots, share] of SHARES) {
    for (const name of ["service", "client"]) {
      const limiter = new Limiter(slots, 10);
      const enter = (one: string, other: number) =>
        name === "service"
          ? limiter.tryAcquire(one, `${other}`)
          : limiter.tryAcquire(`${other}`, one);
      for (let i = 0; i < share; i++) assert(enter("one", i) !== undefined, `${slots} ${name}`);
      assertEquals(enter("one", -1), undefined, `${slots} ${name}`);
      assertEquals(enter("other", -2) !== undefined, slots > 1, `${slots} ${name}`);
    }
  }
});

Deno.test("Limiter.acquire() admits the checks of one service and client in the order they came", async () => {
  const checks = new Checks(new Limiter(2, 10));
  const starting = ["1", "2", "3"].map((name) => checks.start(name, "a", "x"));
  await starting[0];
  await settled();
  assertEquals([checks.inFlight, checks.limiter.queued], [["1"], 2]);
  checks.end("1");
  await starting[1];
  checks.end("2");
  await starting[2];
  checks.end("3");
  assertEquals([checks.limiter.inFlight, checks.limiter.queued], [0, 0]);
});

Deno.test("Limiter.acquire() lets no check wait behind a service or a client that has its half", async () => {
  for (const swapped of [false, true]) {
    const checks = new Checks(new Limiter(4, 1000));
    const enter = (name: string, one: string, other: string) =>
      swapped ? checks.start(name, other, one) : checks.start(name, one, other);
    const hanging = Array.from({ length: 100 }, (_, i) => enter(`hangs ${i}`, "a", `${i}`));
    await settled();
    assertEquals([checks.inFlight, checks.limiter.queued], [["hangs 0", "hangs 1"], 98]);
    await enter("1", "b", "x");
    await enter("2", "c", "y");
    // Now there is no free slot, and the next checks are queued.
    const next = [enter("3", "b", "z"), enter("4", "d", "y")];
    checks.end("2");
    await next[0];
    checks.end("1");
    await next[1];
    assertEquals(checks.inFlight, ["hangs 0", "hangs 1", "3", "4"]);
    // The slot of a check that hangs goes to the next of them.
    checks.end("hangs 0");
    await hanging[2];
    assertEquals(checks.inFlight, ["hangs 1", "3", "4", "hangs 2"]);
  }
});

Deno.test("Limiter gives free slots to queued clients in turn, however many checks one of them has", async () => {
  const checks = new Checks(new Limiter(2, 1000));
  await checks.start("first", "a", "u");
  await checks.start("second", "b", "v");
  for (let i = 0; i < 100; i++) checks.start(`greedy ${i}`, `${i}`, "greedy");
  const honest = checks.start("honest", "c", "honest");
  checks.end("first");
  await settled();
  checks.end("second");
  await honest;
  assertEquals(checks.inFlight, ["greedy 0", "honest"]);
});

Deno.test("Limiter gives a slot to a client with one check before the next of a client with many", async () => {
  const checks = new Checks(new Limiter(4, 1000));
  for (const name of ["a", "b", "c", "d"]) await checks.start(name, name, name);
  for (let i = 0; i < 10; i++) checks.start(`greedy ${i}`, "x", "greedy");
  checks.start("honest", "y", "honest");
  for (const name of ["a", "b", "c"]) checks.end(name);
  await settled();
  assertEquals(checks.inFlight, ["d", "greedy 0", "honest", "greedy 1"]);
});

for (const givesUp of [false, true]) {
  Deno.test(`Limiter passes the turn of a check that ${givesUp ? "gives up" : "is blocked"} to another one of its service`, async () => {
    const checks = new Checks(new Limiter(4, 1000));
    for (const [service, client] of ["ta", "tb", "qd", "re"]) {
      await checks.start(`${service}${client}`, service!, client!);
    }
    // Both wait for t, which has its half.
    const controller = new AbortController();
    checks.start("X", "t", "c", controller.signal).catch(() => {});
    checks.start("Z", "t", "f");
    checks.start("W1", "w1", "c");
    checks.start("W2", "w2", "c");
    checks.end("qd");
    checks.end("ta");
    await settled();
    // Now t could have X in flight, but the client of X has its half, or X has given up.
    assertEquals(checks.inFlight, ["tb", "re", "W1", "W2"]);
    if (givesUp) controller.abort();
    checks.end("re");
    await settled();
    assertEquals(checks.inFlight, ["tb", "W1", "W2", "Z"]);
  });
}

Deno.test("Slot[Symbol.dispose]() releases the slot once, however often it is called", () => {
  const limiter = new Limiter(2, 10);
  const a = limiter.tryAcquire("a", "x")!;
  a[Symbol.dispose]();
  const b = limiter.tryAcquire("a", "x")!;
  a[Symbol.dispose]();
  assertEquals(limiter.inFlight, 1);
  b[Symbol.dispose]();
  assertEquals(limiter.inFlight, 0);
});

Deno.test("Limiter.acquire() rejects with the signal's reason, and takes no slot", async () => {
  const limiter = new Limiter(1, 10);
  const a = limiter.tryAcquire("a", "x")!;
  const controller = new AbortController();
  const b = limiter.acquire("b", "y", controller.signal);
  const c = limiter.acquire("c", "z", NEVER);
  const why = new Error("no more");
  controller.abort(why);
  assertEquals(await assertRejects(() => b, Error), why);
  assertEquals([limiter.inFlight, limiter.queued], [1, 1]);
  a[Symbol.dispose]();
  (await c)[Symbol.dispose]();
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.acquire() returns a slot that was free just before the signal aborted", async () => {
  const limiter = new Limiter(1, 10);
  const a = limiter.tryAcquire("a", "x")!;
  const controller = new AbortController();
  const b = limiter.acquire("b", "y", controller.signal);
  a[Symbol.dispose]();
  controller.abort();
  (await b)[Symbol.dispose]();
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.acquire() rejects at once if the signal has aborted", async () => {
  const limiter = new Limiter(1, 10);
  const why = new Error("too late");
  assertEquals(
    await assertRejects(() => limiter.acquire("a", "x", AbortSignal.abort(why)), Error),
    why,
  );
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.acquire() rejects at once if too many checks are queued, of all or of one client", async () => {
  const limiter = new Limiter(1, 4);
  const a = limiter.tryAcquire("a", "x")!;
  const waiting = [limiter.acquire("a", "y", NEVER), limiter.acquire("b", "y", NEVER)];
  await assertRejects(
    () => limiter.acquire("c", "y", NEVER),
    QueueFullError,
    "2 checks of client y are already queued",
  );
  waiting.push(limiter.acquire("a", "z", NEVER), limiter.acquire("a", "x", NEVER));
  await assertRejects(
    () => limiter.acquire("c", "w", NEVER),
    QueueFullError,
    "4 checks are already queued",
  );
  assertEquals([limiter.inFlight, limiter.queued], [1, 4]);
  a[Symbol.dispose]();
  for (
    const slot of await Promise.all(waiting.map((slot) =>
      slot.then((slot) => {
        slot[Symbol.dispose]();
        return slot;
      })
    ))
  ) assert(slot !== undefined);
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.reason() names the limit that a check waits for", () => {
  const limiter = new Limiter(4, 10);
  limiter.tryAcquire("a", "x");
  limiter.tryAcquire("a", "y");
  assertEquals(
    limiter.reason("a", "z"),
    "2 checks of service a are in flight, of at most 2 (half of max_clients)",
  );
  limiter.tryAcquire("b", "y");
  assertEquals(
    limiter.reason("c", "y"),
    "2 checks of client y are in flight, of at most 2 (half of max_clients)",
  );
  limiter.tryAcquire("b", "z");
  assertEquals(limiter.reason("c", "z"), "4 checks are in flight, of at most 4 (max_clients)");
});

/** What a check of the model is doing. */
interface Modelled {
  readonly service: string;
  readonly client: string;
  state: "queued" | "in flight" | "ended";
  slot?: Slot;
  readonly signal: AbortController;
}

/** What happens next: a check comes, one in flight ends, or a queued one gives up. */
const event = fc.oneof(
  fc.record({ kind: fc.constant("come"), service: fc.nat(4), client: fc.nat(3), which: fc.nat() }),
  fc.record({
    kind: fc.constantFrom("end", "giveUp"),
    service: fc.nat(4),
    client: fc.nat(3),
    which: fc.nat(),
  }),
);

Deno.test("Limiter queues no check that may be in flight, whichever come, end and give up", () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.array(event, { maxLength: 100, size: "max" }),
      async (slots, events) => {
        const limiter = new Limiter(slots, 1000);
        const share = Math.ceil(slots / 2);
        const checks: Modelled[] = [];
        const inState = (state: string) => checks.filter((check) => check.state === state);
        const inFlight = (of: "service" | "client", name: string) =>
          inState("in flight").filter((check) => check[of] === name).length;
        for (const { kind, service, client, which } of events) {
          if (kind === "come") {
            const check: Modelled = {
              service: `service ${service}`,
              client: `client ${client}`,
              state: "queued",
              signal: new AbortController(),
            };
            checks.push(check);
            limiter.acquire(check.service, check.client, check.signal.signal).then(
              (slot) => Object.assign(check, { state: "in flight", slot }),
              () => check.state = "ended",
            );
          } else {
            const those = inState(kind === "end" ? "in flight" : "queued");
            const check = those[which % those.length];
            if (check === undefined) continue;
            if (kind === "end") {
              check.state = "ended";
              check.slot![Symbol.dispose]();
            } else check.signal.abort();
          }
          for (let i = 0; i < 10; i++) await undefined;
          assertEquals([limiter.inFlight, limiter.queued], [
            inState("in flight").length,
            inState("queued").length,
          ]);
          assert(limiter.inFlight <= slots);
          for (const { service, client } of checks) {
            assert(inFlight("service", service) <= share && inFlight("client", client) <= share);
          }
          if (limiter.inFlight === slots) continue;
          for (const { service, client } of inState("queued")) {
            assert(
              inFlight("service", service) === share || inFlight("client", client) === share,
              `${client} waits for ${service} for nothing`,
            );
          }
        }
        // The queued checks get their slots one after another, and none is left.
        while (inState("in flight").length > 0) {
          const [check] = inState("in flight");
          check!.state = "ended";
          check!.slot![Symbol.dispose]();
          for (let i = 0; i < 10; i++) await undefined;
        }
        assertEquals([inState("queued").length, limiter.inFlight, limiter.queued], [0, 0, 0]);
      },
    ),
    { numRuns: 1000 },
  ));

Deno.test("Limiter finds the next check in the same time, however many are blocked", () => {
  const limiter = new Limiter(4, 1_000_000);
  limiter.tryAcquire("a", "x");
  limiter.tryAcquire("b", "x");
  for (let i = 0; i < 50_000; i++) limiter.acquire(`${i}`, "x", new AbortController().signal);
  assertEquals(limiter.queued, 50_000);
  // The best of many short times, since the machine may be busy with something else.
  let best = Infinity;
  for (let round = 0; round < 100; round++) {
    const start = performance.now();
    for (let i = 0; i < 20; i++) limiter.tryAcquire("c", "y")![Symbol.dispose]();
    best = Math.min(best, (performance.now() - start) / 20);
  }
  // To look at each of 50,000 takes some 0.5 ms.
  assert(best < 0.1, `${best} ms`);
});
