import fc from "fast-check";
import { isExpired, parseRecord, stateLine } from "../../src/spool/record.ts";
import { assert, assertEquals } from "../assert.ts";
import { AskedLoop } from "./asked.ts";
import { holds, oddText, port, service, time } from "./property.ts";

const CHANGING = "allow_remote_spool_changes: true\n";

function form(body: string): { method: string; headers: Headers; body: string } {
  const headers = new Headers({ "content-type": "application/x-www-form-urlencoded" });
  return { method: "POST", headers, body };
}

const reason = oddText("maint", "&", "+", "%").map((text) => text.toWellFormed());

Deno.test("What a form marks is marked so for the very next who asks, and unmarked as well", async () => {
  await using loop = new AskedLoop({}, CHANGING);
  await holds(
    fc.asyncProperty(
      service,
      fc.oneof(port, fc.constant(0)),
      fc.record({ reason, expiration: time, creation: time }, { requiredKeys: ["reason"] }),
      async (service, port, fields) => {
        const { reason, expiration, creation } = fields;
        const given = Object.entries({ status: "down", ...fields }).map(([key, value]) => {
          return [key, String(value)] as [string, string];
        });
        const path = `/spool/${service}/${port}`;
        assertEquals(await loop.ask(`${path}/any`, form(`${new URLSearchParams(given)}`)), {
          status: 200,
          body: "",
        });
        const name = port === 0 ? service : `${service}:${port}`;
        assertEquals(Object.keys(loop.files), [name]);
        const record = parseRecord(loop.files[name]!);
        assertEquals([record.reason, record.expiration], [reason, expiration ?? null]);
        if (creation !== undefined) assertEquals(record.creation, creation);
        const { status, body } = await loop.ask(path);
        if (isExpired(record, Date.now() / 1000)) assertEquals([status, body], [200, ""]);
        else assertEquals([status, body], [503, stateLine(service, record)]);
        assertEquals(await loop.ask(path, form("status=up")), { status: 200, body: "" });
        assertEquals(await loop.ask(path), { status: 200, body: "" });
        assertEquals(loop.files, {});
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
    // A status that is none, or none at all.
    oddText("up", "down", "UP").filter((text) => text !== "up" && text !== "down")
      .map((text) => `reason=x&${new URLSearchParams({ status: text })}`),
    fc.constantFrom("", "reason=x", "status=down", "Status=up", "status", "{}", '{"status": "up"}'),
    // Twice the same.
    fc.constantFrom("status=up&status=down", "status=up&status=up", "status=up&reason=a&reason=b"),
  );
  await holds(
    fc.asyncProperty(bad, fc.constantFrom("web", "api", "all"), async (body, service) => {
      const answer = await loop.ask(`/spool/${service}/0/status`, form(body));
      assertEquals(answer.status, 400);
      assert(/^Bad (status|reason|expiration|creation): expected /.test(answer.body), answer.body);
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
      const { status } = await loop.ask(`/spool/${name}/${port}`, form("status=down&reason=x"));
      assert([400, 404, 405].includes(status), `${status} ${name}`);
      assertEquals(loop.files, {});
    }),
    4000,
  );
});
