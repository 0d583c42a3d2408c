import { SlicedWork, type Work } from "../../../src/spool/sliced_work.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";

/** Work in slices, with what happens to it. */
class Slices {
  readonly clock = new TestClock();
  readonly events: string[] = [];
  readonly sliced = new SlicedWork(this.clock, () => this.events.push("pause"));

  /** Work of three parts, which yields after each. */
  *work(wait?: Promise<unknown>): Work {
    try {
      for (let part = 1; part <= 3; part++) {
        this.events.push(`part ${part}`);
        yield wait;
      }
    } catch (error) {
      this.events.push(String(error));
    } finally {
      this.events.push("end");
    }
  }
}

Deno.test("SlicedWork.run() runs the first slice at once, and others after pauses", async () => {
  const slices = new Slices();
  const run = slices.sliced.run(slices.work());
  assertEquals([slices.events, slices.sliced.isBusy], [["part 1", "pause"], true]);
  await run;
  const parts = ["part 1", "pause", "part 2", "pause", "part 3", "pause", "end"];
  assertEquals([slices.events, slices.sliced.isBusy], [parts, false]);
});

Deno.test("SlicedWork.run() finishes work that does not yield at once", () => {
  const { sliced, events } = new Slices();
  void sliced.run((function* (): Work {
    if (sliced.isSliceOver) yield;
    events.push("done");
  })());
  assertEquals([events, sliced.isBusy], [["done"], false]);
});

Deno.test("SlicedWork.run() throws into work what it waited for in vain", async () => {
  const slices = new Slices();
  await slices.sliced.run(slices.work(Promise.reject(new Error("no such folder"))));
  assertEquals(slices.events, ["part 1", "pause", "Error: no such folder", "end"]);
});

Deno.test("SlicedWork.isSliceOver is true 5 ms after a slice has begun", async () => {
  const { clock, sliced } = new Slices();
  const seen: boolean[] = [];
  await sliced.run((function* (): Work {
    for (const milliseconds of [4, 1]) {
      void clock.advance(milliseconds);
      seen.push(sliced.isSliceOver);
    }
    yield;
    seen.push(sliced.isSliceOver);
  })());
  assertEquals(seen, [false, true, false]);
});

Deno.test("SlicedWork ends work that has paused once it is disposed", async () => {
  const slices = new Slices();
  const run = slices.sliced.run(slices.work());
  slices.sliced[Symbol.dispose]();
  await run;
  assertEquals([slices.events, slices.sliced.isBusy], [["part 1", "pause", "end"], false]);
});
