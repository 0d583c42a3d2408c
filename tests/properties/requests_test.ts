import fc from "fast-check";
import { canonicalAddress } from "../../src/net/addresses.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TestWorker } from "./test_worker.ts";
import { corrupted, holds, oddText, port, service } from "./property.ts";

/** A header value: one character for each byte, without line breaks. */
function headerValue(...likely: readonly string[]): fc.Arbitrary<string> {
  return oddText(...likely).map((text) => text.replace(/[^\t\x20-\x7e\x80-\xff]/g, ""));
}

const method = fc.constantFrom("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "BREW");
const protocol = fc.constantFrom(
  "spool",
  "http",
  "https",
  "tcp",
  "mysql",
  "redis-info",
  "grpc",
  "no",
);
const query = fc.oneof(fc.constant(""), oddText("status").map((text) => `/${text}`));
const checkPath = fc.tuple(protocol, service, fc.nat(70_000), query)
  .map(([protocol, service, port, query]) => `/${protocol}/${service}/${port}${query}`);
const page = fc.constantFrom(
  "/",
  "/status",
  "/status/count",
  "/recent?threshold=5",
  "/debug/runtime",
);
/** Adds a leading slash: Deno rejects paths without one. */
function rooted(path: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return path.map((path) => path.startsWith("/") ? path : `/${path}`);
}

const path = fc.oneof(
  checkPath,
  rooted(corrupted(checkPath)),
  page,
  rooted(corrupted(page)),
  oddText("/spool", "/web", "/status").map((text) => `/${text}`),
);
const headers = fc.record({
  "x-haproxy-server-state": headerValue("address=", "port=", "127.0.0.1", "UP 1/3"),
  "x-nerve-check-ip": headerValue("10.0.0.1", "::1", "localhost"),
  "pragma": headerValue("no-cache"),
  "cache-control": headerValue("no-cache", "max-age"),
  "host": headerValue("a.example"),
}, { requiredKeys: [] }).map((fields) => new Headers(fields as Record<string, string>));

/** The pages that are 200 without an Accept header. */
const PAGE = /^\/(?:(?:status|status\/count|recent|debug\/runtime)(?:\?.*)?)$/s;

Deno.test("the router responds up to no request while all services are down, and keeps the contract", async () => {
  await using worker = new TestWorker({ all: "maint" });
  await holds(
    fc.asyncProperty(method, path, headers, async (method, path, headers) => {
      const { status, body } = await worker.send(path, { method, headers });
      switch (status) {
        case 200:
          assert(PAGE.test(path), `${method} ${path}`);
          return void JSON.parse(body);
        case 503:
          return assertEquals(body, "Service all in down state: maint");
        case 400:
          return assert(body.startsWith("Bad "), body);
        case 403:
          return assert(body.length > 0 && body.length < 1000, body);
        case 404:
          return assert(body.startsWith("Not found: expected "), body);
        case 405:
          return assert(body.startsWith("Method not allowed: expected GET"), body);
        default:
          throw new Error(`${status} ${body}`);
      }
    }),
    8000,
  );
});

/** The path of a spool check in the contract. */
const SPOOL = /^\/spool\/(?!\.{1,2}\/)[.a-zA-Z0-9_-]{1,200}\/(\d+)([/?].*)?$/s;

Deno.test("the router responds up only to paths of the contract", async () => {
  await using worker = new TestWorker();
  const spool = fc.tuple(service, fc.nat(65_535), query)
    .map(([service, port, query]) => `/spool/${service}/${port}${query}`);
  await holds(
    fc.asyncProperty(fc.oneof(spool, rooted(corrupted(spool))), async (path) => {
      const { status, body } = await worker.send(path);
      const [, port] = SPOOL.exec(path) ?? [];
      if (port === undefined) return assertEquals(status, path === "/" ? 200 : 404);
      if (Number(port) <= 65_535) return assertEquals([status, body], [200, ""]);
      assertEquals(status, 400);
    }),
    8000,
  );
});

Deno.test("the router rejects a check that needs a port and has none", async () => {
  await using worker = new TestWorker();
  await holds(
    fc.asyncProperty(protocol, service, query, async (protocol, service, query) => {
      const { status } = await worker.send(`/${protocol}/${service}/0${query}`);
      assertEquals(status, protocol === "spool" ? 200 : protocol === "no" ? 404 : 400);
    }),
    2000,
  );
});

Deno.test("the router uses the target of the headers, or rejects them", async () => {
  const hosts = ["127.0.0.1", "192.0.2.1", "2001:db8::1"];
  // Each of these is down on one host and one port.
  const records = Object.fromEntries(
    hosts.map((
      host,
      i,
    ) => [`web-${i}:${host === "127.0.0.1" ? "" : `${host}:`}8080`, `on ${host}`]),
  );
  await using worker = new TestWorker(records);
  const isBad = (text: string) =>
    text !== "" && text !== "unix" && canonicalAddress(text) === undefined;
  const address = fc.option(
    fc.oneof(
      fc.constantFrom(...hosts).map((text) => ({ text, host: text })),
      fc.constantFrom("2001:DB8::1", "2001:db8:0:0::1").map((text) => ({ text, host: hosts[2]! })),
      headerValue(
        "127.1",
        "0x7f.1",
        "localhost",
        "[::1]",
        "10.0.0.1:80",
        "::ffff:10.0.0.1",
        "010.0.0.1",
      )
        .map((text) => text.replaceAll(";", "").trim()).filter(isBad)
        .map((text) => ({ text, host: undefined })),
    ),
    { nil: undefined },
  );
  const stated = fc.option(
    fc.oneof(
      port.map((port) => ({ text: `${port}`, port })),
      fc.constant({ text: "8080", port: 8080 }),
      headerValue("80", "x").map((text) => text.replaceAll(";", "").trim())
        .filter((text) => text !== "" && !(/^\d{1,5}$/.test(text) && Number(text) <= 65_535))
        .map((text) => ({ text, port: undefined })),
    ),
    { nil: undefined },
  );
  await holds(
    fc.asyncProperty(
      address,
      address,
      stated,
      fc.constantFrom(8080, 8081),
      fc.nat(2),
      fc.boolean(),
      async (address, nerve, stated, urlPort, i, isPortFirst) => {
        const fields = [
          ...address === undefined ? [] : [`address=${address.text}`],
          ...stated === undefined ? [] : [`port=${stated.text}`],
        ];
        if (isPortFirst) fields.reverse();
        const headers = new Headers();
        const state = ["UP 1/3", ...fields, "name=web/a"].join("; ");
        headers.set("X-Haproxy-Server-State", state);
        if (nerve !== undefined) headers.set("X-Nerve-Check-IP", nerve.text);
        const { status, body } = await worker.send(`/spool/web-${i}/${urlPort}`, { headers });
        const chosen = address ?? nerve ?? { host: "127.0.0.1" };
        const port = stated === undefined ? urlPort : stated.port;
        if (chosen.host === undefined || port === undefined) {
          return assert(status === 400 || status === 403, `${status} ${body}`);
        }
        const isDown = port === 8080 && (i === 0 || chosen.host === hosts[i]);
        const line = `Service web-${i} in down state: on ${hosts[i]}`;
        assertEquals([status, body], isDown ? [503, line] : [200, ""]);
      },
    ),
    6000,
  );
});
