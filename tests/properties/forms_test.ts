import fc from "fast-check";
import { isExpired, parseDowntime, parseWeight, stateLine } from "../../src/spool/entry.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TestWorker } from "./test_worker.ts";
import { holds, oddText, port, service, time } from "./property.ts";

const ALLOW_CHANGES = "allow_remote_spool_changes: true\n";

function form(body: string): { method: string; headers: Headers; body: string } {
  const headers = new Headers({ "content-type": "application/x-www-form-urlencoded" });
  return { method: "POST", headers, body };
}

// The daemon ignores white space around a value.
const reason = oddText("maint", "&", "+", "%").map((text) => text.toWellFormed().trim());

Deno.test("POST /spool sets and ends a downtime before the next check", async () => {
  await using worker = new TestWorker({}, ALLOW_CHANGES);
  await holds(
    fc.asyncProperty(
      service,
      fc.oneof(port, fc.constant(0)),
      fc.constantFrom("down", "drain"),
      fc.record({ reason, expiration: time, creation: time }, { requiredKeys: ["reason"] }),
      async (service, port, status, fields) => {
        fc.pre(service !== "all" || port === 0);
        const { reason, expiration, creation } = fields;
        const given = Object.entries({ status, ...fields }).map(([key, value]) => {
          return [key, String(value)] as [string, string];
        });
        const path = `/spool/${service}/${port}`;
        assertEquals(await worker.send(`${path}/any`, form(`${new URLSearchParams(given)}`)), {
          status: 200,
          body: "",
        });
        const name = port === 0 ? service : `${service}:${port}`;
        assertEquals(Object.keys(worker.files), [name]);
        const record = parseDowntime(worker.files[name]!).record;
        assertEquals(record.mode, status);
        assertEquals([record.reason, record.expiration], [reason, expiration ?? null]);
        if (creation !== undefined) assertEquals(record.creation, creation);
        const response = await worker.send(path);
        const code = status === "down" ? 503 : 404;
        assertEquals(
          response,
          isExpired(record, Date.now() / 1000)
            ? { status: 200, body: "" }
            : { status: code, body: stateLine(service, record) },
        );
        assertEquals(await worker.send(path, form("status=up")), { status: 200, body: "" });
        assertEquals(await worker.send(path), { status: 200, body: "" });
        assertEquals(worker.files, {});
      },
    ),
    300,
  );
});

Deno.test("POST /spool sets a weight before the next request, and no downtime", async () => {
  await using worker = new TestWorker({}, ALLOW_CHANGES);
  await holds(
    fc.asyncProperty(
      service,
      fc.oneof(port, fc.constant(0)),
      fc.integer({ min: 0, max: 99 }),
      fc.record({ reason, expiration: time, creation: time }, { requiredKeys: [] }),
      async (service, port, weight, fields) => {
        fc.pre(service !== "all" || port === 0);
        const given = Object.entries({ weight, ...fields }).map(([key, value]) => {
          return [key, String(value)] as [string, string];
        });
        const path = `/spool/${service}/${port}`;
        const weightNow = async () =>
          JSON.parse((await worker.send(`/status/services/${service}/${port}`)).body).agent_weight;
        assertEquals(await worker.send(path, form(`${new URLSearchParams(given)}`)), {
          status: 200,
          body: "",
        });
        const name = port === 0 ? `.weight:${service}` : `.weight:${service}:${port}`;
        assertEquals(Object.keys(worker.files), [name]);
        const record = parseWeight(worker.files[name]!).record;
        assertEquals([record.weight, record.reason, record.expiration], [
          weight,
          fields.reason ?? "",
          fields.expiration ?? null,
        ]);
        const expired = isExpired(record, Date.now() / 1000);
        assertEquals(await weightNow(), expired ? 100 : weight);
        assertEquals(await worker.send(path), { status: 200, body: "" });
        assertEquals(await worker.send(path, form("weight=100")), { status: 200, body: "" });
        assertEquals([await weightNow(), worker.files], [100, {}]);
      },
    ),
    300,
  );
});

Deno.test("POST /spool rejects an invalid form with the name of its field, and changes nothing", async () => {
  await using worker = new TestWorker({ web: "maint" }, ALLOW_CHANGES);
  const before = worker.files;
  const bad = fc.oneof(
    // Invalid times.
    fc.tuple(fc.constantFrom("expiration", "creation"), oddText("-5", "1e30", "Infinity"))
      .filter(([, text]) => text.trim() === "" || !(Number(text) >= 0 && Number(text) < 1e21))
      .map(([key, text]) => `status=down&reason=x&${new URLSearchParams({ [key]: text })}`),
    // An invalid weight, or a weight beside a status.
    oddText("50", "100", "%").filter((text) => !/^(\d{1,2}|0\d\d|100)$/.test(text.trim()))
      .map((text) => `${new URLSearchParams({ weight: text })}`),
    fc.nat(100).map((weight) => `status=down&reason=x&weight=${weight}`),
    // An invalid or missing status.
    oddText("up", "down", "UP").filter((text) => !/^(?:up|down|drain)$/.test(text.trim()))
      .map((text) => `reason=x&${new URLSearchParams({ status: text })}`),
    fc.constantFrom("", "reason=x", "status=down", "Status=up", "status", "{}", '{"status": "up"}'),
    // A repeated field.
    fc.constantFrom("status=up&status=down", "status=up&status=up", "status=up&reason=a&reason=b"),
  );
  await holds(
    fc.asyncProperty(bad, fc.constantFrom("web", "api", "all"), async (body, service) => {
      const response = await worker.send(`/spool/${service}/0/status`, form(body));
      assertEquals(response.status, 400);
      assert(
        /^Bad (status|weight|reason|expiration|creation): expected /.test(response.body),
        response.body,
      );
      assertEquals(worker.files, before);
    }),
    4000,
  );
});

Deno.test("POST /spool writes no file for an invalid service name", async () => {
  await using worker = new TestWorker({}, ALLOW_CHANGES);
  const name = oddText("..", ".", ".hidden", "web", "%2e%2e", "a:b").filter((text) =>
    // A name with a port behind it is valid, too.
    !/^[\w-][.\w-]{0,199}(?:$|\/\d)/.test(text)
  );
  await holds(
    fc.asyncProperty(name, fc.nat(70_000), async (name, port) => {
      for (const body of ["status=down&reason=x", "weight=5"]) {
        const { status } = await worker.send(`/spool/${name}/${port}`, form(body));
        assert([400, 404, 405].includes(status), `${status} ${name}`);
      }
      assertEquals(worker.files, {});
    }),
    4000,
  );
});
