import fc from "fast-check";
import { isExpired, parseDowntime, parseWeight, stateLine } from "../../src/spool/entry.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { AskedLoop } from "./asked.ts";
import { holds, oddText, port, service, time } from "./property.ts";

const CHANGING = "allow_remote_spool_changes: true\n";

function form(body: string): { method: string; headers: Headers; body: string } {
  const headers = new Headers({ "content-type": "application/x-www-form-urlencoded" });
  return { method: "POST", headers, body };
}

// White space around a value does not count.
const reason = oddText("maint", "&", "+", "%").map((text) => text.toWellFormed().trim());

Deno.test("What a form marks is marked so for the very next who asks, and unmarked as well", async () => {
  await using loop = new AskedLoop({}, CHANGING);
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
        assertEquals(await loop.ask(`${path}/any`, form(`${new URLSearchParams(given)}`)), {
          status: 200,
          body: "",
        });
        const name = port === 0 ? service : `${service}:${port}`;
        assertEquals(Object.keys(loop.files), [name]);
        const record = parseDowntime(loop.files[name]!).record;
        assertEquals(record.mode, status);
        assertEquals([record.reason, record.expiration], [reason, expiration ?? null]);
        if (creation !== undefined) assertEquals(record.creation, creation);
        const answer = await loop.ask(path);
        const code = status === "down" ? 503 : 404;
        assertEquals(
          answer,
          isExpired(record, Date.now() / 1000)
            ? { status: 200, body: "" }
            : { status: code, body: stateLine(service, record) },
        );
        assertEquals(await loop.ask(path, form("status=up")), { status: 200, body: "" });
        assertEquals(await loop.ask(path), { status: 200, body: "" });
        assertEquals(loop.files, {});
      },
    ),
    300,
  );
});

Deno.test("A weight that a form gives is known to the very next who asks, and marks nothing", async () => {
  await using loop = new AskedLoop({}, CHANGING);
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
          JSON.parse((await loop.ask(`/status/services/${service}/${port}`)).body).agent_weight;
        assertEquals(await loop.ask(path, form(`${new URLSearchParams(given)}`)), {
          status: 200,
          body: "",
        });
        const name = port === 0 ? `.weight:${service}` : `.weight:${service}:${port}`;
        assertEquals(Object.keys(loop.files), [name]);
        const record = parseWeight(loop.files[name]!).record;
        assertEquals([record.weight, record.reason, record.expiration], [
          weight,
          fields.reason ?? "",
          fields.expiration ?? null,
        ]);
        const isOver = isExpired(record, Date.now() / 1000);
        assertEquals(await weightNow(), isOver ? 100 : weight);
        assertEquals(await loop.ask(path), { status: 200, body: "" });
        assertEquals(await loop.ask(path, form("weight=100")), { status: 200, body: "" });
        assertEquals([await weightNow(), loop.files], [100, {}]);
      },
    ),
    300,
  );
});

Deno.test("A form that makes no sense changes nothing, and is told what is wrong", async () => {
  await using loop = new AskedLoop({ web: "maint" }, CHANGING);
  const before = loop.files;
  const bad = fc.oneof(
    // Times that are none.
    fc.tuple(fc.constantFrom("expiration", "creation"), oddText("-5", "1e30", "Infinity"))
      .filter(([, text]) => text.trim() === "" || !(Number(text) >= 0 && Number(text) < 1e21))
      .map(([key, text]) => `status=down&reason=x&${new URLSearchParams({ [key]: text })}`),
    // A weight that is none, or that comes beside a status.
    oddText("50", "100", "%").filter((text) => !/^(\d{1,2}|0\d\d|100)$/.test(text.trim()))
      .map((text) => `${new URLSearchParams({ weight: text })}`),
    fc.nat(100).map((weight) => `status=down&reason=x&weight=${weight}`),
    // A status that is none, or none at all.
    oddText("up", "down", "UP").filter((text) => !/^(?:up|down|drain)$/.test(text.trim()))
      .map((text) => `reason=x&${new URLSearchParams({ status: text })}`),
    fc.constantFrom("", "reason=x", "status=down", "Status=up", "status", "{}", '{"status": "up"}'),
    // Twice the same.
    fc.constantFrom("status=up&status=down", "status=up&status=up", "status=up&reason=a&reason=b"),
  );
  await holds(
    fc.asyncProperty(bad, fc.constantFrom("web", "api", "all"), async (body, service) => {
      const answer = await loop.ask(`/spool/${service}/0/status`, form(body));
      assertEquals(answer.status, 400);
      assert(
        /^Bad (status|weight|reason|expiration|creation): expected /.test(answer.body),
        answer.body,
      );
      assertEquals(loop.files, before);
    }),
    4000,
  );
});

Deno.test("No form names a file that is not a service's", async () => {
  await using loop = new AskedLoop({}, CHANGING);
  const name = oddText("..", ".", ".hidden", "web", "%2e%2e", "a:b").filter((text) =>
    // Nor what brings a port with it.
    !/^[\w-][.\w-]{0,199}(?:$|\/\d)/.test(text)
  );
  await holds(
    fc.asyncProperty(name, fc.nat(70_000), async (name, port) => {
      for (const body of ["status=down&reason=x", "weight=5"]) {
        const { status } = await loop.ask(`/spool/${name}/${port}`, form(body));
        assert([400, 404, 405].includes(status), `${status} ${name}`);
      }
      assertEquals(loop.files, {});
    }),
    4000,
  );
});
