import fc from "fast-check";
import {
  formatEntry,
  isExpired,
  type Mode,
  parseDowntime,
  parseWeight,
  stateLine,
} from "../../src/spool/entry.ts";
import { SpoolStore } from "../../src/spool/store.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TempFolder } from "../support/programs.ts";
import { holds, oddText, service, time } from "./property.ts";

const fields = {
  reason: oddText(": ", " in down state", " in drain state", " since 1", " until 2", "{}"),
  expiration: fc.option(time, { nil: null }),
  creation: fc.option(time, { nil: null }),
};

const record = fc.record({ mode: fc.constantFrom<Mode>("down", "drain"), ...fields });

const weight = fc.record({ weight: fc.integer({ min: 0, max: 100 }), ...fields });

/** Later than every valid time. */
const FOREVER = Number.MAX_VALUE;

/** The pattern that PaaSTA's drainer applies to the line. */
const PAASTA =
  /^Service (?<service>.+) in (?<state>.+) state(?: since (?<since>[0-9.]+))?(?: until (?<until>[0-9.]+))?(?:: (?<reason>.*))?$/;

Deno.test("parseDowntime() reverses formatEntry()", () =>
  holds(
    fc.property(record, (record) => {
      // JSON holds half a surrogate pair as an escape.
      assertEquals(parseDowntime(formatEntry(record)).record, record);
      assertEquals(parseDowntime(formatEntry(record)).problem, null);
      // A reader without drain mode sees a downtime; a record that is down has no further fields.
      const { mode, ...rest } = JSON.parse(formatEntry(record));
      assertEquals([mode, rest], [record.mode === "drain" ? "drain" : undefined, {
        reason: record.reason,
        expiration: record.expiration,
        creation: record.creation,
      }]);
    }),
    8000,
  ));

Deno.test("parseWeight() reverses formatEntry()", () =>
  holds(
    fc.property(weight, (weight) => {
      assertEquals(parseWeight(formatEntry(weight)).record, weight);
      assertEquals(parseWeight(formatEntry(weight)).problem, null);
    }),
    4000,
  ));

Deno.test("parseWeight() returns a whole number from 0 to 100 or null for any content", () => {
  const value = fc.oneof(fc.jsonValue(), fc.double(), fc.integer({ min: -200, max: 300 }));
  const content = fc.oneof(
    oddText("{", "}", '"weight": ', "50", "null"),
    fc.record({ weight: value, reason: value, expiration: value }, { requiredKeys: [] })
      .map((fields) => JSON.stringify(fields)),
    fc.double().map((number) => `{"weight": ${number}}`),
    fc.tuple(weight, fc.nat(80)).map(([weight, length]) => formatEntry(weight).slice(0, length)),
  );
  return holds(
    fc.property(content, (content) => {
      const { weight } = parseWeight(content).record;
      if (weight === null) return assert(parseWeight(content).problem !== null, content);
      assert(Number.isInteger(weight) && weight >= 0 && weight <= 100);
      assertEquals(weight, JSON.parse(content).weight);
    }),
    10_000,
  );
});

Deno.test("stateLine() returns a line whose parts PaaSTA reads", () =>
  holds(
    fc.property(service, record, (name, record) => {
      const line = stateLine(name, record);
      assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(line), line);
      const { groups } = PAASTA.exec(line) ?? {};
      assert(groups !== undefined, line);
      const { expiration, creation, reason } = record;
      const oneLine = reason.replace(
        /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]+/gu,
        " ",
      );
      // The greedy pattern of PaaSTA misreads a reason that looks like a state line.
      if (/ in .+ state/.test(oneLine)) {
        assert(line.startsWith(`Service ${name} in ${record.mode} state`), line);
      } else {
        assertEquals([groups.service, groups.state], [name, record.mode]);
        assertEquals(groups.since, creation?.toFixed(6));
        assertEquals(groups.until, expiration?.toFixed(6));
        assertEquals(groups.reason ?? "", oneLine);
      }
    }),
    8000,
  ));

Deno.test("parseDowntime() returns a record that expires only with a valid expiration", () => {
  const value = fc.oneof(fc.jsonValue(), time, fc.constantFrom("soon", -1, 1e300, [], {}));
  const mode = fc.oneof(value, fc.constantFrom("down", "drain", "Drain", "up"));
  const content = fc.oneof(
    oddText("{", "}", '"expiration": ', '"reason": ', "null"),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.record({ reason: value, expiration: value, creation: value, mode }, { requiredKeys: [] })
      .map((fields) => JSON.stringify(fields)),
    fc.double().map((number) => `{"expiration": ${number}}`),
    fc.tuple(record, fc.nat(80)).map(([record, length]) => formatEntry(record).slice(0, length)),
  );
  return holds(
    fc.property(content, (content) => {
      const record = parseDowntime(content).record;
      assert(typeof record.reason === "string");
      const problem = parseDowntime(content).problem;
      if (record.mode === "drain") assertEquals(JSON.parse(content).mode, "drain");
      if (!isExpired(record, FOREVER)) return;
      if (problem !== null) {
        assertEquals(record.mode, "down");
        assert(problem.startsWith("mode: expected down or drain: found "), problem);
      }
      const { expiration } = JSON.parse(content);
      assert(typeof expiration === "number" && expiration >= 0 && Number.isFinite(expiration));
      assertEquals(record.expiration, expiration);
      assert(!isExpired(record, expiration) && isExpired(record, expiration * 2 + 1));
    }),
    10_000,
  );
});

Deno.test("SpoolStore.readDowntime() returns a record until its expiration for any bytes", () => {
  using folder = new TempFolder();
  const store = new SpoolStore(folder.path);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    record.map((record) => new TextEncoder().encode(formatEntry(record))),
  );
  return holds(
    fc.property(bytes, (bytes) => {
      Deno.writeFileSync(folder.file("web"), bytes);
      const stored = store.readDowntime("web");
      assert(stored !== undefined);
      const { expiration } = stored.record;
      assert(!isExpired(stored.record, expiration ?? FOREVER));
    }),
    3000,
  );
});
