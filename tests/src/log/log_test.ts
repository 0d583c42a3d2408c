import { DaemonLog, formatJson, formatLine, type Level, LogError } from "../../../src/log/log.ts";
import { assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";

const TIMESTAMP = Date.UTC(2026, 0, 2, 3, 4, 5, 6);

/** The line of a message in which values stand between texts. */
function line(parts: readonly unknown[], level: Level = "info"): string {
  const properties: Record<string, unknown> = {};
  const message = parts.map((part, i) => {
    if (typeof part === "string") return part;
    properties[`part${i}`] = part;
    return `{part${i}}`;
  }).join("");
  return formatLine({ level, message, properties, timestamp: TIMESTAMP });
}

Deno.test("formatLine() begins with the time and the level", () => {
  assertEquals(line(["up"]), "2026-01-02T03:04:05.006Z INFO up\n");
  assertEquals(line(["up"], "warning"), "2026-01-02T03:04:05.006Z WARNING up\n");
});

Deno.test("formatLine() formats values by their type", () => {
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

Deno.test("formatLine() escapes control characters and line breaks", () => {
  const cases: [text: string, escaped: string][] = [
    ["a\nb", "a\\nb"],
    ["a\r\nb\tc", "a\\u000d\\nb\\u0009c"],
    ["\u001b[2J\u0000\u007f\u009b", "\\u001b[2J\\u0000\\u007f\\u009b"],
    ["a\u2028b\u2029c\u0085d", "a\\u2028b\\u2029c\\u0085d"],
    ["\u202eb\u2066c\u2069\u200f\u061c", "\\u202eb\\u2066c\\u2069\\u200f\\u061c"],
    ["\ufeffa\u200b\u00ad\u{e0041}\u3164", "\\ufeffa\\u200b\\u00ad\\udb40\\udc41\\u3164"],
    ["Grüße, 世界, שלום ⚠\ufe0f", "Grüße, 世界, שלום ⚠\ufe0f"],
  ];
  for (const [text, escaped] of cases) {
    const expected = `2026-01-02T03:04:05.006Z INFO says ${escaped}\n`;
    assertEquals(line([`says ${text}`]), expected);
    const record = { level: "info", timestamp: TIMESTAMP, properties: { text } } as const;
    assertEquals(formatLine({ ...record, message: "says {text}" }), expected);
  }
});

Deno.test("formatLine() does not expand placeholders in values", () => {
  const properties = { first: "{second}", second: "$& {first}" };
  const record = { level: "info", timestamp: TIMESTAMP, properties } as const;
  assertEquals(
    formatLine({ ...record, message: "{first} {second} {third} {}" }),
    "2026-01-02T03:04:05.006Z INFO {second} $& {first} undefined {}\n",
  );
});

Deno.test("formatJson() has the message and the properties", () => {
  const error = new TypeError("no\nway");
  const message = "{what} failed: {error}";
  const record = { level: "warning", timestamp: TIMESTAMP, message } as const;
  const json = formatJson({ ...record, properties: { what: { a: [1] }, error, none: undefined } });
  assertEquals([json.endsWith("}\n"), json.trimEnd().includes("\n")], [true, false]);
  assertEquals(JSON.parse(json), {
    "@timestamp": "2026-01-02T03:04:05.006Z",
    level: "WARN",
    message: `{"a":[1]} failed: ${error.stack}`,
    logger: "hacheck",
    properties: {
      what: { a: [1] },
      error: { name: "TypeError", message: "no\nway", stack: error.stack },
    },
  });
});

Deno.test("formatLine() includes the stack of an error, on the same line", () => {
  assertMatch(
    line(["it failed: ", new TypeError("no\nway")]),
    /^2026-01-02T03:04:05\.006Z INFO it failed: TypeError: no\\nway\\n +at .*log_test\.ts:\d+:\d+.*\n$/,
  );
});

Deno.test("formatLine() formats values that have no text and no JSON form", () => {
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  const mute = Object.assign(new Error("x"), { stack: Object.create(null) });
  for (const value of [loop, Object.create(null), Symbol("x"), { count: 5n }, mute]) {
    assertMatch(line([value]), /^\S+ INFO \S.*\n$/);
  }
  assertMatch(line([loop]), /INFO <ref \*1> \{ loop: \[Circular \*1\] \}\n$/);
});

Deno.test("DaemonLog.reopen() redirects the existing functions, or changes nothing if it fails", async () => {
  using folder = new TempFolder();
  const [first, second] = [folder.file("first"), folder.file("second")];
  using log = new DaemonLog({ log_path: first, log_format: "text" }, false);
  const { debug, warning } = log;
  debug("not logged");
  warning("{key} is {value}", { key: "a", value: "b\nc" });
  assertThrows(() => log.reopen({ log_path: folder.path, log_format: "json" }), LogError);
  log.info("two");
  await log.flush();
  log.reopen({ log_path: second, log_format: "json" });
  warning("three: {key}", { key: "a\nb" });
  log.error("four");
  await log.flush();
  assertMatch(Deno.readTextFileSync(first), /^\S+Z WARNING a is b\\nc\n\S+Z INFO two\n$/);
  const records = Deno.readTextFileSync(second).split("\n");
  assertEquals(records.pop(), "");
  assertEquals(
    records.map((line) => JSON.parse(line)).map(({ level, properties }) => [level, properties]),
    [["WARN", { key: "a\nb" }], ["ERROR", {}]],
  );
});

Deno.test("DaemonLog logs debug records only if it is verbose", async () => {
  using folder = new TempFolder();
  for (const [verbose, lines] of [[false, 0], [true, 1]] as const) {
    const path = folder.file(String(verbose));
    using log = new DaemonLog({ log_path: path, log_format: "text" }, verbose);
    log.debug("details");
    await log.flush();
    assertEquals(Deno.readTextFileSync(path).split(" DEBUG details\n").length - 1, lines);
  }
});
