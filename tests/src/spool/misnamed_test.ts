import type { Log } from "../../../src/log/log.ts";
import { MisnamedFiles } from "../../../src/spool/misnamed.ts";
import { isMisnamed } from "../../../src/spool/names.ts";
import { assert, assertEquals } from "../../support/assert.ts";

/** The misnamed files of a spool, with a clock and a log. */
class Spool {
  now = 0;
  readonly lines: string[] = [];
  readonly misnamed: MisnamedFiles;

  constructor() {
    const warning: Log["warning"] = (message, properties = {}) =>
      void this.lines.push(message.replace(/\{(\w+)\}/g, (_, name) => String(properties[name])));
    const log = { debug() {}, info() {}, warning, error() {} };
    this.misnamed = new MisnamedFiles("/spool", log, () => this.now);
  }

  /** Updates the files after some milliseconds, and returns what is logged. */
  update(names: readonly string[], later = 0): string[] {
    this.now += later;
    this.lines.length = 0;
    this.misnamed.update(names);
    return [...this.lines];
  }
}

function line(name: string): string {
  return `/spool/${name} has no effect: expected a name like web, web:8080 or web:10.0.0.1:8080`;
}

/** Names with numbers. */
function many(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `a b${from + i}`);
}

Deno.test("isMisnamed() is true for invalid names, unless they are ignored", () => {
  const cases: [names: string[], expected: boolean][] = [
    [["a b", "web:x", "web:65536", "web:", "web:host:80", "wäb", "web~", "x".repeat(201)], true],
    [[".weight:", ".weight:web:x", ".weight:.web"], true],
    [["web", "all", "web:80", "web:10.0.0.1:80", ".weight:web", ".weight:web:80"], false],
    [[".hacheck.tmp", ".hacheck.0.tmp", ".web", ".nfs0001", ".web.swp", "lost+found"], false],
  ];
  for (const [names, expected] of cases) {
    for (const name of names) assertEquals(isMisnamed(name), expected, name);
  }
});

Deno.test("MisnamedFiles logs each file once, and again after it was removed", () => {
  const spool = new Spool();
  assertEquals(spool.update(["a b", "web:x"]), [line("a b"), line("web:x")]);
  assertEquals(spool.update(["a b", "web:x"], 20_000), []);
  assertEquals(spool.update(["web:x"], 20_000), []);
  assertEquals(spool.update(["web:x", "a b"], 20_000), [line("a b")]);
  assertEquals([spool.misnamed.count, spool.misnamed.names], [2, ["web:x", "a b"]]);
  assertEquals(spool.update([], 20_000), []);
  assertEquals([spool.misnamed.count, spool.misnamed.names], [0, []]);
});

Deno.test("MisnamedFiles logs at most 10 names in 10 seconds, and the others as a number", () => {
  const spool = new Spool();
  const more = "2 more files in /spool have no effect: their names are invalid";
  assertEquals(spool.update(many(12)), [...many(10).map(line), more]);
  assertEquals(spool.update(many(15), 9_999), []);
  // The folder was not listed again.
  spool.now++;
  spool.misnamed.report();
  assertEquals(spool.lines, many(3, 12).map(line));
});

Deno.test("MisnamedFiles counts all of 100,000 files, and keeps the names of few", () => {
  const spool = new Spool();
  const first = spool.update(many(100_000));
  assertEquals(first.length, 11);
  assert(first[10]!.startsWith("99990 more files"), first[10]);
  assertEquals(spool.update(many(100_000), 20_000), []);
  assertEquals([spool.misnamed.count, spool.misnamed.names.length], [100_000, 10]);
  assertEquals(spool.update(many(100_005), 20_000), [
    "5 more files in /spool have no effect: their names are invalid",
  ]);
});
