import fc from "fast-check";
import { canonicalAddress, LOCAL_ADDRESS } from "../../src/net/addresses.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import {
  isServiceName,
  parseRecordName,
  parseWeightName,
  recordName,
  type Subject,
  weightName,
} from "../../src/spool/names.ts";
import {
  type DowntimeRecord,
  isExpired,
  type Mode,
  type WeightRecord,
} from "../../src/spool/entry.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { holds, host, oddText, port, service } from "./property.ts";

const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({ service, port: fc.constant(0), host: fc.constant(LOCAL_ADDRESS) }),
  fc.record({ service, port, host: fc.oneof(host, fc.constant(LOCAL_ADDRESS)) }),
);

Deno.test("parseRecordName() reverses recordName()", () =>
  holds(
    fc.property(subject, (subject) => {
      assertEquals(parseRecordName(recordName(subject)), subject);
    }),
    5000,
  ));

Deno.test("parseWeightName() reverses weightName(), whose result is a hidden file name and no record's", () =>
  holds(
    fc.property(subject, (subject) => {
      const name = weightName(subject);
      assertEquals(parseWeightName(name), subject);
      assertEquals(parseRecordName(name), undefined);
      assertEquals(parseWeightName(recordName(subject)), undefined);
      // Every version of hacheck ignores hidden files among the downtimes.
      assert(name.startsWith(".") && name.length <= 255, name);
    }),
    5000,
  ));

Deno.test("parseRecordName() accepts no name that leaves the folder or is hidden", () =>
  holds(
    fc.property(
      fc.oneof(subject.map(recordName), oddText("web", "all", "::1", "10.0.0.1")),
      (name) => {
        const parsed = parseRecordName(name);
        if (parsed === undefined) return;
        for (const text of [name, recordName(parsed)]) {
          assert(!/[/\0]/.test(text) && !text.startsWith(".") && text.length <= 255, text);
        }
        assert(isServiceName(parsed.service) && parsed.port >= 0 && parsed.port <= 65_535);
        assertEquals(canonicalAddress(parsed.host), parsed.host);
        // Two names may mean one subject, but no name means two.
        assertEquals(parseRecordName(recordName(parsed)), parsed);
      },
    ),
    10_000,
  ));

/** The names of the records that apply to a subject, in the order of precedence. */
function namesFor({ service, port, host }: Subject): string[] {
  const names = ["all", service];
  if (port !== 0) names.push(`${service}:${port}`, `${service}:${host}:${port}`);
  return names;
}

/** The contract for downtimes: the first of four records that is down, else the first that drains. */
function expected(
  records: ReadonlyMap<string, DowntimeRecord>,
  subject: Subject,
  now: number,
): string | undefined {
  const first = (mode: Mode) =>
    namesFor(subject).find((name) => {
      const record = records.get(name);
      return record?.mode === mode && !isExpired(record, now);
    });
  return first("down") ?? first("drain");
}

/** The contract for weights: the most specific record has precedence. */
function expectedWeight(
  weights: ReadonlyMap<string, WeightRecord>,
  subject: Subject,
  now: number,
): number | null {
  const name = namesFor(subject).reverse().find((name) =>
    weights.has(name) && !isExpired(weights.get(name)!, now)
  );
  return name === undefined ? 100 : weights.get(name)!.weight;
}

Deno.test("SpoolIndex finds the records of the contract after any changes", () => {
  // Few values, so that the records overlap.
  const services = fc.constantFrom("web", "api", "all", "a.b");
  const ports = fc.constantFrom(1, 80, 65_535);
  const hosts = fc.constantFrom(LOCAL_ADDRESS, "10.0.0.1", "2001:db8::1");
  const few = fc.oneof(
    fc.record({ service: services, port: fc.constant(0), host: fc.constant(LOCAL_ADDRESS) }),
    fc.record({ service: services, port: ports, host: hosts }),
  );
  const change = fc.record({
    subject: few,
    expiration: fc.option(fc.integer({ min: 0, max: 20 }), { nil: null }),
    value: fc.oneof(
      fc.constantFrom("down" as const, "drain" as const),
      fc.record({ weight: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }) }),
    ),
    isKept: fc.boolean(),
  });
  const lookup = fc.record({
    service: services,
    port: fc.oneof(fc.constant(0), ports),
    host: hosts,
  });
  return holds(
    fc.property(
      fc.array(change, { maxLength: 20 }),
      fc.array(lookup, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 20 }),
      (changes, lookups, now) => {
        const index = new SpoolIndex(undefined, () => now);
        const records = new Map<string, DowntimeRecord>();
        const weights = new Map<string, WeightRecord>();
        for (const [i, { subject, expiration, value, isKept }] of changes.entries()) {
          const name = recordName(subject);
          const fields = { reason: `${i}`, expiration, creation: null };
          if (typeof value === "string") {
            const record = { mode: value, ...fields };
            if (isKept) records.set(name, record);
            else records.delete(name);
            if (isKept) index.set(name, record);
            else index.delete(name);
          } else {
            const record = { ...value, ...fields };
            if (isKept) weights.set(name, record);
            else weights.delete(name);
            if (isKept) index.set(`.weight:${name}`, record);
            else index.delete(`.weight:${name}`);
          }
        }
        const weightNames = [...weights.keys()].map((name) => `.weight:${name}`);
        assertEquals([...index.names].sort(), [...records.keys(), ...weightNames].sort());
        assertEquals(index.size, records.size);
        const { activeEntries } = index;
        const active = <R extends { expiration: number | null }>(all: ReadonlyMap<string, R>) =>
          [...all].filter(([, record]) => !isExpired(record, now))
            .map(([name, record]) => ({ name, ...parseRecordName(name)!, ...record }))
            .sort((a, b) => a.name < b.name ? -1 : 1);
        assertEquals(activeEntries.downtimes, active(records));
        assertEquals(activeEntries.weights, active(weights));
        assertEquals(
          index.hasActiveEntries,
          activeEntries.downtimes.length + activeEntries.weights.length > 0,
        );
        for (const lookup of lookups) {
          const { service, port, host } = lookup;
          const found = index.find(service, port, host);
          const name = expected(records, lookup, now);
          assertEquals(found?.name, name);
          if (name !== undefined) assertEquals(found?.record, records.get(name));
          const mode = found?.record.mode;
          assertEquals(found?.verdict.code, mode && { down: 503, drain: 404 }[mode]);
          assertEquals(index.weight(service, port, host), expectedWeight(weights, lookup, now));
        }
      },
    ),
    5000,
  );
});
