import { DaemonLog, formatJson, formatLine, type Level } from "../../src/log.ts";
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { TempFolder } from "../support/programs.ts";

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

Deno.test("a property says no more than it does, whatever braces stand in it", () => {
  const properties = { first: "{second}", second: "$& {first}" };
  const record = { level: "info", timestamp: TIMESTAMP, properties } as const;
  assertEquals(
    formatLine({ ...record, message: "{first} {second} {third} {}" }),
    "2026-01-02T03:04:05.006Z INFO {second} $& {first} undefined {}\n",
  );
});

Deno.test("formatJson() tells the text, and the properties as they are", () => {
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

Deno.test("formatLine() tells where an error comes from, on the same line", () => {
  assertMatch(
    line(["it failed: ", new TypeError("no\nway")]),
    /^2026-01-02T03:04:05\.006Z INFO it failed: TypeError: no\\nway\\n +at .*log_test\.ts:\d+:\d+.*\n$/,
  );
});

Deno.test("formatLine() tells even what is no text and no JSON", () => {
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  const mute = Object.assign(new Error("x"), { stack: Object.create(null) });
  for (const value of [loop, Object.create(null), Symbol("x"), { count: 5n }, mute]) {
    assertMatch(line([value]), /^\S+ INFO \S.*\n$/);
  }
  assertMatch(line([loop]), /INFO <ref \*1> \{ loop: \[Circular \*1\] \}\n$/);
});

Deno.test("a log goes on elsewhere for all who log already, or as before if it cannot", async () => {
  using folder = new TempFolder();
  const [first, second] = [folder.file("first"), folder.file("second")];
  using log = new DaemonLog({ path: first, format: "text", verbose: false });
  const { debug, warning } = log;
  debug("not told");
  warning("{key} is {value}", { key: "a", value: "b\nc" });
  assertThrows(() => log.reopen({ path: folder.path, format: "text", verbose: true }), Error);
  debug("not told either");
  log.info("two");
  await log.flush();
  log.reopen({ path: second, format: "json", verbose: true });
  debug("three: {key}", { key: "a\nb" });
  log.error("four");
  await log.flush();
  assertMatch(Deno.readTextFileSync(first), /^\S+Z WARNING a is b\\nc\n\S+Z INFO two\n$/);
  const records = Deno.readTextFileSync(second).split("\n");
  assertEquals(records.pop(), "");
  assertEquals(
    records.map((line) => JSON.parse(line)).map(({ level, properties }) => [level, properties]),
    [["DEBUG", { key: "a\nb" }], ["ERROR", {}]],
  );
});
