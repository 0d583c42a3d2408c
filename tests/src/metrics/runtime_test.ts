import { EventLoopDelay, platform } from "../../../src/metrics/runtime.ts";
import { VERSION } from "../../../src/runtime/version.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { run } from "../../support/programs.ts";
import { until } from "../../servers/mod.ts";

const SAMPLE_MS = 50;

/** Blocks the event loop for three samples, once the measurement has begun. */
async function block(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 200));
  const end = performance.now() + 3 * SAMPLE_MS;
  while (performance.now() < end);
}

Deno.test("EventLoopDelay reports how late timers fired", async () => {
  using delay = new EventLoopDelay(SAMPLE_MS);
  assertEquals(delay.report, { last: 0, mean: 0, max: 0 });
  await block();
  await until("the delay is measured", () => delay.report.max >= SAMPLE_MS);
  // The timer was due within the first of three samples.
  const { last, mean, max } = delay.report;
  assert(max >= 1.8 * SAMPLE_MS, `${max}`);
  assert(last <= max && mean <= max && mean > 0, JSON.stringify(delay.report));
});

Deno.test("EventLoopDelay keeps the greatest delay, and not the last", async () => {
  using delay = new EventLoopDelay(SAMPLE_MS);
  await block();
  await until("the delay is measured", () => delay.report.max >= SAMPLE_MS);
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

Deno.test("platform() returns the versions and the permissions", () => {
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
