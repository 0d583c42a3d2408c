import { Limiter, QueueFullError } from "../../src/limiter.ts";
import { assertEquals, assertRejects } from "../assert.ts";

/** A signal that nobody aborts. */
const NEVER = new AbortController().signal;

/** Enters, and tells when it is in. */
function entering(
  limiter: Limiter,
  name: string,
  inside: string[],
  signal = NEVER,
): Promise<Disposable> {
  return limiter.enter(signal).then((place) => {
    inside.push(name);
    return place;
  });
}

Deno.test("a limiter lets so many in, and the others one by one in the order they came", async () => {
  const limiter = new Limiter(2, 10);
  const inside: string[] = [];
  const places = ["a", "b", "c", "d"].map((name) => entering(limiter, name, inside));
  const [a, b] = [await places[0]!, await places[1]!];
  assertEquals([limiter.taken, limiter.waiting, inside], [2, 2, ["a", "b"]]);
  b[Symbol.dispose]();
  const c = await places[2]!;
  assertEquals([limiter.taken, limiter.waiting, inside], [2, 1, ["a", "b", "c"]]);
  a[Symbol.dispose]();
  const d = await places[3]!;
  c[Symbol.dispose]();
  d[Symbol.dispose]();
  assertEquals([limiter.taken, limiter.waiting], [0, 0]);
});

Deno.test("a place that is left twice is left once", async () => {
  const limiter = new Limiter(1, 10);
  const a = await limiter.enter(NEVER);
  a[Symbol.dispose]();
  const b = await limiter.enter(NEVER);
  a[Symbol.dispose]();
  assertEquals(limiter.taken, 1);
  b[Symbol.dispose]();
  assertEquals(limiter.taken, 0);
});

Deno.test("who gives up waiting leaves the line, and takes nobody's place", async () => {
  const limiter = new Limiter(1, 10);
  const a = await limiter.enter(NEVER);
  const patience = new AbortController();
  const b = limiter.enter(patience.signal);
  const c = limiter.enter(NEVER);
  const why = new Error("no more");
  patience.abort(why);
  assertEquals(await assertRejects(() => b, Error), why);
  assertEquals([limiter.taken, limiter.waiting], [1, 1]);
  a[Symbol.dispose]();
  (await c)[Symbol.dispose]();
  assertEquals([limiter.taken, limiter.waiting], [0, 0]);
});

Deno.test("who is called at the last moment is in, and can leave", async () => {
  const limiter = new Limiter(1, 10);
  const a = await limiter.enter(NEVER);
  const patience = new AbortController();
  const b = limiter.enter(patience.signal);
  a[Symbol.dispose]();
  patience.abort();
  (await b)[Symbol.dispose]();
  assertEquals([limiter.taken, limiter.waiting], [0, 0]);
});

Deno.test("who has given up before is not let in", async () => {
  const limiter = new Limiter(1, 10);
  const why = new Error("too late");
  assertEquals(await assertRejects(() => limiter.enter(AbortSignal.abort(why)), Error), why);
  assertEquals([limiter.taken, limiter.waiting], [0, 0]);
});

Deno.test("who would wait behind too many is sent away at once", async () => {
  const limiter = new Limiter(1, 2);
  const a = await limiter.enter(NEVER);
  const waiting = [limiter.enter(NEVER), limiter.enter(NEVER)];
  await assertRejects(() => limiter.enter(NEVER), QueueFullError, "2 are waiting already");
  assertEquals([limiter.taken, limiter.waiting], [1, 2]);
  a[Symbol.dispose]();
  for (const place of waiting) (await place)[Symbol.dispose]();
  assertEquals([limiter.taken, limiter.waiting], [0, 0]);
});
