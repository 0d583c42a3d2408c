import { assertEquals } from "../support/assert.ts";
import { Downtimes } from "./downtimes.ts";

const LINE = "Service web in down state: maint";
const DOWN = { status: 503, body: LINE };
const UP = { status: 200, body: "" };

/** What answers are that were asked for and came at once. */
function judged(downtimes: Downtimes, names = ["all", "web"], from = performance.now()): string[] {
  const now = performance.now();
  return [DOWN, UP].map((answer) => downtimes.judge(names, answer, "GET", from, now));
}

Deno.test("Downtimes.judge() accepts no downtime without a record", () => {
  assertEquals(judged(new Downtimes()), ["wrong", "no downtime"]);
});

Deno.test("Downtimes.judge() accepts both states during a change, and one after it", () => {
  const downtimes = new Downtimes();
  const seen = downtimes.marking("web", LINE, undefined);
  const before = performance.now();
  assertEquals(judged(downtimes), ["right", "no downtime"]);
  seen();
  assertEquals(judged(downtimes), ["right", "wrong"]);
  // An earlier request may have an earlier response.
  assertEquals(judged(downtimes, ["web"], before), ["right", "no downtime"]);
});

Deno.test("While something is lifted it may be up, and once that is seen it must be", async () => {
  const downtimes = new Downtimes();
  downtimes.marking("web", LINE, undefined)();
  const gone = downtimes.lifting("web");
  await passed();
  assertEquals(judged(downtimes), ["right", "no downtime"]);
  gone();
  await passed();
  assertEquals(judged(downtimes), ["wrong", "no downtime"]);
});

Deno.test("Downtimes.judge() accepts either line, but not up, while a record is replaced", async () => {
  const downtimes = new Downtimes();
  downtimes.marking("web", "Service web in down state: before", undefined)();
  const before = { status: 503, body: "Service web in down state: before" };
  const seen = downtimes.marking("web", LINE, undefined);
  const ask = () => {
    const now = performance.now();
    return downtimes.judge(["web"], before, "GET", now, now);
  };
  assertEquals(judged(downtimes), ["right", "wrong"]);
  assertEquals(ask(), "right");
  seen();
  await passed();
  assertEquals(judged(downtimes), ["right", "wrong"]);
  assertEquals(ask(), "wrong");
});

Deno.test("What ends by itself must be up when its time is over", async () => {
  const downtimes = new Downtimes();
  downtimes.marking("web", LINE, Date.now() / 1000 + 0.2)();
  assertEquals(judged(downtimes), ["right", "wrong"]);
  await new Promise((resolve) => setTimeout(resolve, 400));
  assertEquals(judged(downtimes), ["wrong", "no downtime"]);
});

Deno.test("Downtimes.judge() expects the first record that applies", () => {
  const downtimes = new Downtimes();
  downtimes.marking("web", LINE, undefined)();
  downtimes.marking("all", "Service all in down state: gone", undefined)();
  assertEquals(judged(downtimes), ["wrong", "wrong"]);
  assertEquals(judged(downtimes, ["web"]), ["right", "wrong"]);
  assertEquals(judged(downtimes, ["api"]), ["wrong", "no downtime"]);
});

/** Lets a moment pass that this clock can see. */
function passed(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

Deno.test("Downtimes.judge() expects the status of draining, unless another record is down", () => {
  const downtimes = new Downtimes();
  const line = "Service web in drain state: maint";
  const drains = { status: 404, body: line };
  const judge = (answer: { status: number; body: string }) => {
    const now = performance.now();
    return downtimes.judge(["all", "web"], answer, "GET", now, now);
  };
  assertEquals(judge(drains), "wrong");
  downtimes.marking("all", line, undefined, "drain")();
  assertEquals([judge(drains), judge({ status: 503, body: line }), judge(UP)], [
    "right",
    "wrong",
    "wrong",
  ]);
  downtimes.marking("web", LINE, undefined)();
  assertEquals([judge(drains), judge(DOWN)], ["wrong", "right"]);
});
