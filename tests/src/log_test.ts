import { formatLine, openLog } from "../../src/log.ts";
import { assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { TempFolder } from "../programs.ts";

type Level = Parameters<typeof formatLine>[0]["level"];

function line(message: readonly unknown[], level: Level = "info"): string {
  return formatLine({
    category: ["hacheck"],
    level,
    message,
    rawMessage: "",
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    properties: {},
  });
}

Deno.test("formatLine() says when and how grave, and then what", () => {
  assertEquals(line(["up"]), "2026-01-02T03:04:05.006Z INFO up\n");
  assertEquals(line(["up"], "warning"), "2026-01-02T03:04:05.006Z WARNING up\n");
});

Deno.test("formatLine() tells values as what they are", () => {
  const cases: [message: unknown[], text: string][] = [
    [["port ", 80, " of ", "web", ""], "port 80 of web"],
    [
      [{ code: 200 }, " ", [1, "a"], " ", null, " ", undefined, " ", true],
      '{"code":200} [1,"a"] null undefined true',
    ],
  ];
  for (const [message, text] of cases) {
    assertEquals(line(message), `2026-01-02T03:04:05.006Z INFO ${text}\n`);
  }
});

Deno.test("formatLine() puts everything on one line, and leaves nothing that steers a terminal", () => {
  const cases: [text: string, escaped: string][] = [
    ["a\nb", "a\\nb"],
    ["a\r\nb\tc", "a\\u000d\\nb\\u0009c"],
    ["\u001b[2J\u0000\u007f\u009b", "\\u001b[2J\\u0000\\u007f\\u009b"],
    ["a\u2028b\u2029c\u0085d", "a\\u2028b\\u2029c\\u0085d"],
    ["Grüße, 世界 {name}", "Grüße, 世界 {name}"],
  ];
  for (const [text, escaped] of cases) {
    assertEquals(line(["says ", text]), `2026-01-02T03:04:05.006Z INFO says ${escaped}\n`);
    assertEquals(line([`says ${text}`]), `2026-01-02T03:04:05.006Z INFO says ${escaped}\n`);
  }
});

Deno.test("formatLine() tells where an error comes from, on the same line", () => {
  assertMatch(
    line(["it failed: ", new TypeError("no\nway")]),
    /^2026-01-02T03:04:05\.006Z INFO it failed: TypeError: no\\nway\\n +at .*log_test\.ts:\d+:\d+.*\n$/,
  );
});

Deno.test("openLog() begins anew for all who log already, and goes on as before if it cannot", () => {
  using folder = new TempFolder();
  const [first, second] = [folder.file("first"), folder.file("second")];
  const log = openLog({ path: first, format: "text", verbose: false });
  try {
    log.debug("not told");
    log.warning("{key} is {value}", { key: "a", value: "b\nc" });
    assertThrows(() => openLog({ path: folder.path, format: "text", verbose: true }), Error);
    log.debug("not told either");
    log.info("two");
    openLog({ path: second, format: "json", verbose: true });
    log.debug("three: {key}", { key: "a\nb" });
    log.error("four");
  } finally {
    openLog({ path: "stderr", format: "text", verbose: false });
  }
  assertMatch(Deno.readTextFileSync(first), /^\S+Z WARNING a is b\\nc\n\S+Z INFO two\n$/);
  const records = Deno.readTextFileSync(second).split("\n");
  assertEquals(records.pop(), "");
  assertEquals(
    records.map((line) => JSON.parse(line)).map(({ level, properties }) => [level, properties]),
    [["DEBUG", { key: "a\nb" }], ["ERROR", {}]],
  );
});
