import { EventLoopDelay, platform } from "../../../src/metrics/runtime.ts";
import { VERSION } from "../../../src/version.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { run } from "../../support/programs.ts";
import { until } from "../../servers/mod.ts";

/** It begins in a moment. */
function begun(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 200));
}

Deno.test("EventLoopDelay begins with nothing, and tells how late timers were", async () => {
  using delay = new EventLoopDelay();
  assertEquals(delay.report, { last: 0, mean: 0, max: 0 });
  await begun();
  const end = performance.now() + 1500;
  while (performance.now() < end);
  await until("it is measured", () => delay.report.max > 0);
  // The timer was due after half a second of these one and a half.
  const { last, mean, max } = delay.report;
  assert(max >= 900, `${max}`);
  assert(last <= max && mean <= max && mean > 0, JSON.stringify(delay.report));
});

Deno.test("EventLoopDelay forgets the last delay, not the greatest", async () => {
  using delay = new EventLoopDelay();
  await begun();
  const end = performance.now() + 1500;
  while (performance.now() < end);
  await until("it is measured", () => delay.report.max > 0);
  const { max } = delay.report;
  await until("timers are punctual again", () => delay.report.last < max);
  assert(delay.report.max >= max);
  assert(delay.report.mean < delay.report.max);
});

Deno.test("EventLoopDelay does not keep a program from ending", async () => {
  const module = new URL("../../../src/metrics/runtime.ts", import.meta.url).href;
  const code = `import { EventLoopDelay } from "${module}"; new EventLoopDelay();`;
  assertEquals(await run("timeout", ["60", Deno.execPath(), "eval", code]), {
    code: 0,
    stdout: "",
    stderr: "",
  });
});

Deno.test("platform() tells the versions, and what is granted", () => {
  const { versions, permissions } = platform("/nowhere") as Record<string, unknown>;
  assertEquals(versions, { hacheck: VERSION, ...Deno.version });
  const { everything, spool } = permissions as Record<string, Record<string, string>>;
  const kinds = ["env", "ffi", "import", "net", "read", "run", "sys", "write"];
  assertEquals(Object.keys(everything!).sort(), kinds);
  assertEquals(Object.keys(spool!), ["read", "write"]);
  for (const state of [...Object.values(everything!), ...Object.values(spool!)]) {
    assert(["granted", "prompt", "denied"].includes(state), state);
  }
});
