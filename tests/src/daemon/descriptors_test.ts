import { DescriptorCounter, ensureDescriptors } from "../../../src/daemon/descriptors.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { run, TempFolder } from "../../support/programs.ts";

const MODULE = new URL("../../../src/daemon/descriptors.ts", import.meta.url).href;

Deno.test("ensureDescriptors() is content with what there is, and opens nothing for it", async () => {
  for (const wanted of [null, "max"] as const) {
    assertEquals(await ensureDescriptors(wanted, "/nowhere"), undefined);
  }
});

Deno.test("ensureDescriptors() leaves a path that cannot be opened to who needs it", async () => {
  assertEquals(await ensureDescriptors(1_000_000, "/nowhere"), undefined);
});

/** The limit, what is wanted, and what is said: in a process of its own, since it takes all that there are. */
const CASES = [
  { limit: 300, wanted: 64, says: "" },
  { limit: 300, wanted: 299, says: "" },
  { limit: 300, wanted: 300, says: "" },
  {
    limit: 300,
    wanted: 301,
    says: "DescriptorsError: rlimit_nofile: expected at most 300, the hard limit: found 301",
  },
  {
    limit: 4096,
    wanted: 1_000_000,
    says: "DescriptorsError: rlimit_nofile: expected at most 4096, the hard limit: found 1000000",
  },
];

for (const { limit, wanted, says } of CASES) {
  Deno.test(`ensureDescriptors() says ${says === "" ? "nothing" : "no"} to ${wanted} where there are ${limit}, and closes all that it opened`, async () => {
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
    assertEquals({ stdout: stdout.trim(), stderr }, { stdout: says, stderr: "" });
  });
}

Deno.test("a counter looks for no more than it is told to, and closes all that it opened", () => {
  for (let times = 0; times < 100; times++) {
    assertEquals(new DescriptorCounter(100, "/").count(), { count: 100, isAll: false });
  }
});

Deno.test("a counter leaves a path that cannot be opened to who needs it", () => {
  assertEquals(new DescriptorCounter(100, "/nowhere").count(), { count: 100, isAll: false });
});

Deno.test("a counter finds how many there are", async () => {
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

Deno.test("a counter finds out what there is once it matters, and never again", async () => {
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
    // What is in use is believed: 64 and what is left of 200.
    stdout: '[true,{"count":0,"isAll":true},true,true,true]',
    stderr: "",
  });
});
