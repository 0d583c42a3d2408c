import { assert, assertEquals, assertRejects } from "../support/assert.ts";
import { courseOf, read } from "./gauges.ts";

Deno.test("courseOf() compares the second quarter with the last", () => {
  const { first, last, max, before, after } = courseOf([9, 1, 2, 3, 2, 7, 8, 9, 20, 5, 4, 6]);
  assertEquals([first, last, max, before, after], [9, 6, 20, 3, 5]);
});

Deno.test("read() returns the memory and descriptors of a process", async () => {
  const process = new Deno.Command("cat", { stdin: "piped", stdout: "null" }).spawn();
  const { rss, descriptors } = await read(process.pid);
  await process.stdin.close();
  await process.status;
  assert(rss > 0.1 && rss < 100, String(rss));
  // It may have inherited some.
  assert(descriptors >= 3 && descriptors < 20, String(descriptors));
  await assertRejects(() => read(process.pid), Error, "has ended");
});
