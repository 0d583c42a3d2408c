import fc from "fast-check";
import { canonicalAddress, LOCAL_ADDRESS } from "../../src/addresses.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { isServiceName, parseRecordName, recordName, type Subject } from "../../src/spool/names.ts";
import { isExpired, type SpoolRecord } from "../../src/spool/record.ts";
import { assert, assertEquals } from "../assert.ts";
import { holds, host, oddText, port, service } from "./property.ts";

const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({ service, port: fc.constant(0), host: fc.constant(LOCAL_ADDRESS) }),
  fc.record({ service, port, host: fc.oneof(host, fc.constant(LOCAL_ADDRESS)) }),
);

Deno.test("The name of a record gives back what it marks down", () =>
  holds(
    fc.property(subject, (subject) => {
      assertEquals(parseRecordName(recordName(subject)), subject);
    }),
    5000,
  ));

Deno.test("No name of a record leaves the folder, and none is hidden", () =>
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
        // Two files may spell one thing, but no file speaks of two.
        assertEquals(parseRecordName(recordName(parsed)), parsed);
      },
    ),
    10_000,
  ));

/** What the contract says of records, in its own words: the first of four that is down. */
function expected(
  records: ReadonlyMap<string, SpoolRecord>,
  { service, port, host }: Subject,
  now: number,
): string | undefined {
  const names = ["all", service];
  if (port !== 0) names.push(`${service}:${port}`, `${service}:${host}:${port}`);
  return names.find((name) => records.has(name) && !isExpired(records.get(name)!, now));
}

Deno.test("An index finds what the contract says, whatever has come and gone", () => {
  // Few enough that they meet.
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
    stays: fc.boolean(),
  });
  const asked = fc.record({
    service: services,
    port: fc.oneof(fc.constant(0), ports),
    host: hosts,
  });
  return holds(
    fc.property(
      fc.array(change, { maxLength: 20 }),
      fc.array(asked, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 20 }),
      (changes, questions, now) => {
        const index = new SpoolIndex(undefined, () => now);
        const records = new Map<string, SpoolRecord>();
        for (const [i, { subject, expiration, stays }] of changes.entries()) {
          const name = recordName(subject);
          const record = { reason: `${i}`, expiration, creation: null };
          if (stays) records.set(name, record);
          else records.delete(name);
          if (stays) index.set(name, record);
          else index.delete(name);
        }
        assertEquals([...index.names].sort(), [...records.keys()].sort());
        for (const question of questions) {
          const { service, port, host } = question;
          const found = index.find(service, port, host);
          const name = expected(records, question, now);
          assertEquals(found?.name, name);
          if (name !== undefined) assertEquals(found?.record, records.get(name));
          assertEquals(found?.verdict.code, name === undefined ? undefined : 503);
        }
      },
    ),
    5000,
  );
});
