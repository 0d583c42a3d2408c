import { DescriptorCounter, ensureDescriptors } from "../../../src/server/descriptors.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { run, TempFolder } from "../../support/programs.ts";

const MODULE = new URL("../../../src/server/descriptors.ts", import.meta.url).href;

Deno.test("ensureDescriptors() opens nothing for max or no demand", async () => {
  for (const wanted of [null, "max"] as const) {
    assertEquals(await ensureDescriptors(wanted, "/nowhere"), undefined);
  }
});

Deno.test("ensureDescriptors() does not report a path that cannot be opened", async () => {
  assertEquals(await ensureDescriptors(1_000_000, "/nowhere"), undefined);
});

/** The limit, the demand and the error. Each runs in a process of its own, since it opens all descriptors. */
const CASES = [
  { limit: 300, wanted: 64, error: "" },
  { limit: 300, wanted: 299, error: "" },
  { limit: 300, wanted: 300, error: "" },
  {
    limit: 300,
    wanted: 301,
    error: "DescriptorsError: rlimit_nofile: expected at most 300, the hard limit: found 301",
  },
  {
    limit: 4096,
    wanted: 1_000_000,
    error: "DescriptorsError: rlimit_nofile: expected at most 4096, the hard limit: found 1000000",
  },
];

for (const { limit, wanted, error } of CASES) {
  Deno.test(`ensureDescriptors() ${error === "" ? "accepts" : "rejects"} ${wanted} with a limit of ${limit}, and closes all files`, async () => {
    using folder = new TempFolder();
    const code = `
      import { openSync } from "node:fs";
      import { ensureDescriptors } from "${MODULE}";
      const path = ${JSON.stringify(folder.path)};
      const before = openSync(path, "r");
      try {
        await ensureDescriptors(${wanted}, path);
      } catch (error) {
        console.log(String(error));
      }
      const after = openSync(path, "r");
      if (after > before + 10) console.log("descriptors are left open");
    `;
    const { stdout, stderr } = await run("sh", [
      ...["-c", `ulimit -n ${limit} && exec "$@"`, "sh"],
      ...[Deno.execPath(), "eval", code],
    ]);
    assertEquals({ stdout: stdout.trim(), stderr }, { stdout: error, stderr: "" });
  });
}

Deno.test("DescriptorCounter counts no more than its limit, and closes all files", () => {
  for (let times = 0; times < 100; times++) {
    assertEquals(new DescriptorCounter(100, "/").count(), { count: 100, isAll: false });
  }
});

Deno.test("DescriptorCounter does not report a path that cannot be opened", () => {
  assertEquals(new DescriptorCounter(100, "/nowhere").count(), { count: 100, isAll: false });
});

Deno.test("DescriptorCounter finds the limit, and closes all files", async () => {
  const code = `
    import { DescriptorCounter } from "${MODULE}";
    console.log(JSON.stringify([new DescriptorCounter(1000, "/").count(), new DescriptorCounter(1000, "/").count()]));
  `;
  const { stdout, stderr } = await run("sh", [
    ...["-c", 'ulimit -n 300 && exec "$@"', "sh"],
    ...[Deno.execPath(), "eval", code],
  ]);
  assertEquals(stderr, "");
  const [first, second] = JSON.parse(stdout);
  assertEquals(first, second);
  assert(first.isAll);
  assert(first.count > 200 && first.count < 300, stdout);
});

Deno.test("DescriptorCounter.supply() counts once, from 64 descriptors in use", async () => {
  using folder = new TempFolder();
  const code = `
    import { DescriptorCounter } from "${MODULE}";
    const path = ${JSON.stringify(folder.path)};
    const counter = new DescriptorCounter(1024, path);
    const few = counter.supply(63);
    const none = counter.supply(Infinity);
    const { count, isAll } = counter.supply(64);
    const again = counter.supply(900);
    console.log(JSON.stringify([
      few.count === Infinity, none, Math.abs(count - 250) < 50, isAll, again.count === count,
    ]));
  `;
  const { stdout, stderr } = await run("sh", [
    ...["-c", 'ulimit -n 200 && exec "$@"', "sh"],
    ...[Deno.execPath(), "eval", code],
  ]);
  assertEquals({ stdout: stdout.trim(), stderr }, {
    // 64 in use, and the rest of 200.
    stdout: '[true,{"count":0,"isAll":true},true,true,true]',
    stderr: "",
  });
});
