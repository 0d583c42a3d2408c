import fc from "fast-check";
import { newCounters } from "../../src/metrics/counters.ts";
import { DaemonLog, formatJson, formatLine } from "../../src/log/log.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TempFolder } from "../support/programs.ts";
import { holds, oddText } from "./property.ts";

/** Values that code may throw and the daemon then logs. */
const thrown = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  oddText(),
  oddText().map((text) => new Error(text)),
  oddText().map((text) => Object.assign(new Error(), { stack: text })),
  fc.constant(null).map(() => {
    const loop: Record<string, unknown> = {};
    return Object.assign(loop, { loop });
  }),
  fc.constantFrom(
    {
      toString() {
        throw new Error("slip");
      },
    },
    {
      toJSON() {
        throw new Error("slip");
      },
    },
    Object.assign(new Error(), { stack: 5 }),
    Object.assign(new Error(), { stack: undefined, toString: 5 }),
    Object.create(null),
    new Map([[{}, 5n]]),
    undefined,
    NaN,
    5n,
    Symbol("x"),
    () => {},
  ),
);

Deno.test("formatLine() and formatJson() return one line without control characters", () =>
  holds(
    fc.property(fc.array(thrown, { maxLength: 3 }), (message) => {
      const record = {
        level: "error",
        message: "{0} {1} {2}",
        properties: { ...message },
        timestamp: 0,
      } as const;
      const line = formatLine(record);
      const json = formatJson(record);
      assert(JSON.parse(json).logger === "hacheck" && json.indexOf("\n") === json.length - 1, json);
      assert(line.startsWith("1970-01-01T00:00:00.000Z ERROR ") && line.endsWith("\n"), line);
      for (const text of [line, json]) {
        assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text.slice(0, -1)), text);
      }
    }),
    1000,
  ));

Deno.test("DaemonLog.error() logs any thrown value, as text and as JSON", async () => {
  using folder = new TempFolder();
  for (const format of ["text", "json"] as const) {
    const path = folder.file(format);
    const counters = newCounters().errors;
    using log = new DaemonLog({ log_path: path, log_format: format }, false, counters);
    let logged = 0;
    await holds(
      fc.asyncProperty(thrown, async (error) => {
        log.error("an error: {error}", { error });
        logged++;
        await log.flush(60_000);
      }),
      500,
    );
    const lines = Deno.readTextFileSync(path).split("\n").slice(0, -1);
    assertEquals([lines.length, counters.lost_log_lines], [logged, 0]);
    if (format === "json") {
      for (const line of lines) assert(JSON.parse(line).message.startsWith("an error: "), line);
    }
  }
});
