import fc from "fast-check";
import { Limiter, type Place, QueueFullError } from "../../../src/checks/limiter.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

/** A signal that nobody aborts. */
const NEVER = new AbortController().signal;

/** Checks that enter a limiter, each by a name, and what has become of them. */
class Checks {
  readonly limiter: Limiter;
  /** Those that hold a place, in the order in which they got it. */
  readonly inside: string[] = [];
  readonly #places = new Map<string, Place>();

  constructor(limiter: Limiter) {
    this.limiter = limiter;
  }

  /** Begins to enter. */
  enter(name: string, service: string, client: string, signal = NEVER): Promise<void> {
    return this.limiter.acquire(service, client, signal).then((place) => {
      this.inside.push(name);
      this.#places.set(name, place);
    });
  }

  leave(name: string): void {
    this.inside.splice(this.inside.indexOf(name), 1);
    this.#places.get(name)![Symbol.dispose]();
  }
}

/** Waits until what was resolved has been heard of. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("Limiter.tryAcquire() gives places without a promise until they are all held", () => {
  const limiter = new Limiter(3, 10);
  const places = [
    limiter.tryAcquire("a", "x"),
    limiter.tryAcquire("b", "y"),
    limiter.tryAcquire("c", "z"),
  ];
  assert(places.every((place) => place !== undefined));
  assertEquals([limiter.tryAcquire("d", "w"), limiter.inFlight], [undefined, 3]);
  places[1]![Symbol.dispose]();
  assert(limiter.tryAcquire("d", "w") !== undefined);
  assertEquals(limiter.inFlight, 3);
});

/** How many places there are, and how many of them one service or client can hold. */
const SHARES = [[1, 1], [2, 1], [3, 2], [4, 2], [5, 3], [256, 128]] as const;

Deno.test("Limiter gives one service, and one client, half of the places at most", () => {
  for (const [places, share] of SHARES) {
    for (const name of ["service", "client"]) {
      const limiter = new Limiter(places, 10);
      const enter = (one: string, other: number) =>
        name === "service"
          ? limiter.tryAcquire(one, `${other}`)
          : limiter.tryAcquire(`${other}`, one);
      for (let i = 0; i < share; i++) assert(enter("one", i) !== undefined, `${places} ${name}`);
      assertEquals(enter("one", -1), undefined, `${places} ${name}`);
      assertEquals(enter("other", -2) !== undefined, places > 1, `${places} ${name}`);
    }
  }
});

Deno.test("Limiter gives places to the checks of one service and client in the order they came", async () => {
  const checks = new Checks(new Limiter(2, 10));
  const entering = ["1", "2", "3"].map((name) => checks.enter(name, "a", "x"));
  await entering[0];
  await settled();
  assertEquals([checks.inside, checks.limiter.queued], [["1"], 2]);
  checks.leave("1");
  await entering[1];
  checks.leave("2");
  await entering[2];
  checks.leave("3");
  assertEquals([checks.limiter.inFlight, checks.limiter.queued], [0, 0]);
});

Deno.test("Limiter lets nobody wait behind a service or a client that holds its half", async () => {
  for (const swapped of [false, true]) {
    const checks = new Checks(new Limiter(4, 1000));
    const enter = (name: string, one: string, other: string) =>
      swapped ? checks.enter(name, other, one) : checks.enter(name, one, other);
    const hanging = Array.from({ length: 100 }, (_, i) => enter(`hangs ${i}`, "a", `${i}`));
    await settled();
    assertEquals([checks.inside, checks.limiter.queued], [["hangs 0", "hangs 1"], 98]);
    await enter("1", "b", "x");
    await enter("2", "c", "y");
    // Now all places are held, and the next wait for one.
    const next = [enter("3", "b", "z"), enter("4", "d", "y")];
    checks.leave("2");
    await next[0];
    checks.leave("1");
    await next[1];
    assertEquals(checks.inside, ["hangs 0", "hangs 1", "3", "4"]);
    // A place of those that hang goes to the next of them.
    checks.leave("hangs 0");
    await hanging[2];
    assertEquals(checks.inside, ["hangs 1", "3", "4", "hangs 2"]);
  }
});

Deno.test("Limiter gives free places to waiting clients in turn, however many checks one of them has", async () => {
  const checks = new Checks(new Limiter(2, 1000));
  await checks.enter("first", "a", "u");
  await checks.enter("second", "b", "v");
  for (let i = 0; i < 100; i++) checks.enter(`greedy ${i}`, `${i}`, "greedy");
  const honest = checks.enter("honest", "c", "honest");
  checks.leave("first");
  await settled();
  checks.leave("second");
  await honest;
  assertEquals(checks.inside, ["greedy 0", "honest"]);
});

Deno.test("Limiter gives a place to a client with one check before the next of one with many", async () => {
  const checks = new Checks(new Limiter(4, 1000));
  for (const name of ["a", "b", "c", "d"]) await checks.enter(name, name, name);
  for (let i = 0; i < 10; i++) checks.enter(`greedy ${i}`, "x", "greedy");
  checks.enter("honest", "y", "honest");
  for (const name of ["a", "b", "c"]) checks.leave(name);
  await settled();
  assertEquals(checks.inside, ["d", "greedy 0", "honest", "greedy 1"]);
});

for (const givesUp of [false, true]) {
  Deno.test(`the turn of a check that ${givesUp ? "gives up" : "may not have it"} goes to another one of its service`, async () => {
    const checks = new Checks(new Limiter(4, 1000));
    for (const [service, client] of ["ta", "tb", "qd", "re"]) {
      await checks.enter(`${service}${client}`, service!, client!);
    }
    // Both wait for t, which holds its half.
    const patience = new AbortController();
    checks.enter("X", "t", "c", patience.signal).catch(() => {});
    checks.enter("Z", "t", "f");
    checks.enter("W1", "w1", "c");
    checks.enter("W2", "w2", "c");
    checks.leave("qd");
    checks.leave("ta");
    await settled();
    // Now t has room for X, but its client holds its half, or it is gone.
    assertEquals(checks.inside, ["tb", "re", "W1", "W2"]);
    if (givesUp) patience.abort();
    checks.leave("re");
    await settled();
    assertEquals(checks.inside, ["tb", "W1", "W2", "Z"]);
  });
}

Deno.test("a place that is disposed of twice is given up once", () => {
  const limiter = new Limiter(2, 10);
  const a = limiter.tryAcquire("a", "x")!;
  a[Symbol.dispose]();
  const b = limiter.tryAcquire("a", "x")!;
  a[Symbol.dispose]();
  assertEquals(limiter.inFlight, 1);
  b[Symbol.dispose]();
  assertEquals(limiter.inFlight, 0);
});

Deno.test("Limiter.acquire() rejects with the signal's reason, and takes nobody's place", async () => {
  const limiter = new Limiter(1, 10);
  const a = limiter.tryAcquire("a", "x")!;
  const patience = new AbortController();
  const b = limiter.acquire("b", "y", patience.signal);
  const c = limiter.acquire("c", "z", NEVER);
  const why = new Error("no more");
  patience.abort(why);
  assertEquals(await assertRejects(() => b, Error), why);
  assertEquals([limiter.inFlight, limiter.queued], [1, 1]);
  a[Symbol.dispose]();
  (await c)[Symbol.dispose]();
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.acquire() gives a place that was free just before the signal aborted", async () => {
  const limiter = new Limiter(1, 10);
  const a = limiter.tryAcquire("a", "x")!;
  const patience = new AbortController();
  const b = limiter.acquire("b", "y", patience.signal);
  a[Symbol.dispose]();
  patience.abort();
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

Deno.test("Limiter.acquire() rejects at once if too many wait, of all or of one client", async () => {
  const limiter = new Limiter(1, 4);
  const a = limiter.tryAcquire("a", "x")!;
  const waiting = [limiter.acquire("a", "y", NEVER), limiter.acquire("b", "y", NEVER)];
  await assertRejects(
    () => limiter.acquire("c", "y", NEVER),
    QueueFullError,
    "2 checks of client y wait already",
  );
  waiting.push(limiter.acquire("a", "z", NEVER), limiter.acquire("a", "x", NEVER));
  await assertRejects(
    () => limiter.acquire("c", "w", NEVER),
    QueueFullError,
    "4 checks wait already",
  );
  assertEquals([limiter.inFlight, limiter.queued], [1, 4]);
  a[Symbol.dispose]();
  for (
    const place of await Promise.all(waiting.map((place) =>
      place.then((place) => {
        place[Symbol.dispose]();
        return place;
      })
    ))
  ) assert(place !== undefined);
  assertEquals([limiter.inFlight, limiter.queued], [0, 0]);
});

Deno.test("Limiter.reason() explains which limit a check waits for", () => {
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
  state: "waiting" | "inside" | "gone";
  place?: Place;
  readonly signal: AbortController;
}

/** What happens next: a check comes, one of those inside leaves, or one of those waiting gives up. */
const event = fc.oneof(
  fc.record({ kind: fc.constant("come"), service: fc.nat(4), client: fc.nat(3), which: fc.nat() }),
  fc.record({
    kind: fc.constantFrom("leave", "giveUp"),
    service: fc.nat(4),
    client: fc.nat(3),
    which: fc.nat(),
  }),
);

Deno.test("no check waits for a place that it may have, whoever comes, leaves and gives up", () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.array(event, { maxLength: 100, size: "max" }),
      async (places, events) => {
        const limiter = new Limiter(places, 1000);
        const share = Math.ceil(places / 2);
        const checks: Modelled[] = [];
        const inState = (state: string) => checks.filter((check) => check.state === state);
        const held = (of: "service" | "client", name: string) =>
          inState("inside").filter((check) => check[of] === name).length;
        for (const { kind, service, client, which } of events) {
          if (kind === "come") {
            const check: Modelled = {
              service: `service ${service}`,
              client: `client ${client}`,
              state: "waiting",
              signal: new AbortController(),
            };
            checks.push(check);
            limiter.acquire(check.service, check.client, check.signal.signal).then(
              (place) => Object.assign(check, { state: "inside", place }),
              () => check.state = "gone",
            );
          } else {
            const those = inState(kind === "leave" ? "inside" : "waiting");
            const check = those[which % those.length];
            if (check === undefined) continue;
            if (kind === "leave") {
              check.state = "gone";
              check.place![Symbol.dispose]();
            } else check.signal.abort();
          }
          for (let i = 0; i < 10; i++) await undefined;
          assertEquals([limiter.inFlight, limiter.queued], [
            inState("inside").length,
            inState("waiting").length,
          ]);
          assert(limiter.inFlight <= places);
          for (const { service, client } of checks) {
            assert(held("service", service) <= share && held("client", client) <= share);
          }
          if (limiter.inFlight === places) continue;
          for (const { service, client } of inState("waiting")) {
            assert(
              held("service", service) === share || held("client", client) === share,
              `${client} waits for ${service} for nothing`,
            );
          }
        }
        // Whoever is left gets in, one after another, and nothing is left behind.
        while (inState("inside").length > 0) {
          const [check] = inState("inside");
          check!.state = "gone";
          check!.place![Symbol.dispose]();
          for (let i = 0; i < 10; i++) await undefined;
        }
        assertEquals([inState("waiting").length, limiter.inFlight, limiter.queued], [0, 0, 0]);
      },
    ),
    { numRuns: 1000 },
  ));

Deno.test("Limiter finds the next check in the same time, however many wait that may not be next", () => {
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
